"""One HTML page of results. All of it is pure: `content` what is shown, `svg` plots, `page` and `sections` the HTML."""
