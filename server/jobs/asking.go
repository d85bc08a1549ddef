package jobs

import (
	"context"
	"errors"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/refusal"
	"github.com/bandfleet/bandfleet/server/store"
)

// Asking is a task that waits for a person's answer.
type Asking struct {
	// Task has its Question set.
	Task   *fleetv1.Task
	Action string
	Params map[string]string
}

// Asked has something in it when a question has come or gone. It is a hint: Asking tells what there is.
func (e *Engine) Asked() <-chan struct{} { return e.asks }

// hintAsked leaves the hint; it is the loop's.
func (e *Engine) hintAsked() {
	select {
	case e.asks <- struct{}{}:
	default:
	}
}

// Asking lists the tasks that ask a person something now.
func (e *Engine) Asking(ctx context.Context) ([]Asking, error) {
	type place struct {
		id    string
		index uint32
	}
	var places []place
	err := e.do(ctx, func() {
		places = nil
		for t := range e.questions {
			if t.openQuestion(e.now()) != nil {
				places = append(places, place{t.job.id, t.index})
			}
		}
	})
	if err != nil {
		return nil, err
	}
	var all []Asking
	for _, at := range places {
		a, err := e.askingAt(ctx, at.id, at.index)
		if no, ok := errors.AsType[*refusal.Error](err); ok && no.Kind == refusal.NotFound {
			continue
		}
		if err != nil {
			return nil, err
		}
		if a.Task.GetQuestion() != nil {
			all = append(all, a)
		}
	}
	return all, nil
}

func (e *Engine) askingAt(ctx context.Context, id string, index uint32) (a Asking, err error) {
	if a.Task, err = e.shown(ctx, id, index); err != nil {
		return a, err
	}
	err = e.st.View(ctx, func(s store.Snapshot) error {
		rec, err := readJob(s, id)
		a.Action, a.Params = rec.GetJob().GetAction(), rec.GetJob().GetParams()
		return err
	})
	return a, err
}
