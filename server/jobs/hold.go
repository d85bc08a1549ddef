package jobs

import (
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// holds is what of a task's permits was taken back. An agent of the release before knows no Hold: its permit ends by itself
// within permitValidity, and it asks for another.
type holds struct {
	// out is how many Holds the agent has not answered on its session.
	out int
	// again is true when a permit was sent after the last of them: the answer is older than that permit then.
	again bool
}

// answered takes in the agent's answer to a Hold, and reports whether it means that no valid permit is out.
func (h *holds) answered() bool {
	older := h.out > 1 || h.out == 1 && h.again
	if h.out = max(0, h.out-1); h.out == 0 {
		h.again = false
	}
	return !older
}

// holdBack takes back the permits of a job's tasks that may not have started, at one site or (nil) at all.
func (e *Engine) holdBack(j *job, at *queue, reason string) {
	for _, t := range j.tasks {
		if t.phase == permitted && t.started.IsZero() && t.terminal.online && (at == nil || t.queue == at) {
			e.hold(t, reason)
		}
	}
}

func (e *Engine) hold(t *task, reason string) {
	if t.out > 0 && !t.again {
		return
	}
	h := &agentv1.Hold{Key: t.key(), Reason: clip(reason, maxProgress)}
	if e.send(t.terminal, &agentv1.ConnectResponse{Message: &agentv1.ConnectResponse_Hold{Hold: h}}) {
		t.out, t.again = t.out+1, false
	}
}
