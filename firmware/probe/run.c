/* A run: how it is carried out, what is sent when it is over, and sent again. */
#include <string.h>

#include "tp_internal.h"

const char tp_no_run[] = "no_run";

void tp_run_forget(tp_probe *probe) {
    probe->end[TP_RUN_ID] = probe->end[TP_MADE] = 0;
    probe->state = TP_IDLE;
    probe->has_end = 0;
}

void tp_run_resend(tp_probe *probe) {
    const uint32_t *said = probe->waiting;
    uint32_t stop = said[2] + said[3], made = (uint32_t)probe->end[TP_MADE];
    if (said[0] == 0) return;
    probe->waiting[0] = 0;
    if (said[1] != probe->end[TP_RUN_ID] || !probe->has_end) {
        tp_say_fault(probe, said[1], tp_no_run, NULL);
        return;
    }
    tp_say_tokens(probe, said[2], stop > made ? made : stop);
    tp_say_end(probe);
}

static void finish_run(tp_probe *probe) {
    const tp_outcome *outcome = &probe->outcome;
    if (outcome->fault_code != NULL) {
        uint32_t run = (uint32_t)probe->end[TP_RUN_ID];
        tp_run_forget(probe);
        tp_say_fault(probe, run, outcome->fault_code, outcome->fault_text);
        return;
    }
    probe->end[TP_REASON] = probe->stopped ? TP_ENDED_ABORTED : TP_ENDED_LIMIT;
    if (outcome->ended_eos && probe->end[TP_MADE] > 0) probe->end[TP_REASON] = TP_ENDED_EOS;
    probe->end[TP_PROMPT_TOKENS] = outcome->prompt_tokens;
    probe->has_end = 1;
    probe->state = TP_SENDING;
    if (!probe->streamed && !probe->stopped) tp_say_tokens(probe, 0, (uint32_t)probe->end[TP_MADE]);
    tp_say_end(probe);
    probe->state = TP_IDLE;
}

void tp_run_carry_out(tp_probe *probe) {
    const tp_config *config = probe->config;
    tp_outcome *outcome = &probe->outcome;
    memset(outcome, 0xFF, sizeof *outcome); /* every mark is TP_UNKNOWN */
    outcome->prompt_tokens = 0;
    outcome->ended_eos = 0;
    outcome->fault_code = NULL;
    outcome->fault_text = NULL;
    probe->state = TP_RUNNING;
    probe->stopped = 0;
    probe->generating = 1;
    probe->end[TP_T0] = probe->stamped = tp_now(probe);
    config->generate(config->user, probe, &probe->asked, outcome);
    probe->end[TP_T_END] = tp_now(probe);
    probe->generating = 0;
    /* Whoever asked who we are in the middle of it wants to hear no more of this run. */
    if (probe->state == TP_RUNNING) finish_run(probe);
    tp_run_resend(probe);
}
