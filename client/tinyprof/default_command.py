"""A group of commands of which one is meant where none is named: `tinyprof boards` is `tinyprof boards list`."""

import click


class DefaultCommand(click.Group):
    """A group whose command `default` is run where the arguments begin with none."""

    default = "list"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Puts the default's name in front of options that are not the group's own."""
        # A shell that completes `tinyprof boards ` wants to see the commands.
        if ctx.resilient_parsing:
            return super().parse_args(ctx, args)
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)
