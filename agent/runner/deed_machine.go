package runner

import (
	"context"
	"fmt"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// changeTimeout bounds a change that is made by one call to the operating system or one of its programs.
const changeTimeout = time.Minute

// machineDeed returns how an effect on the machine's configuration, devices or programs is done.
func (w work) machineDeed(e *actionv1.Effect) (deed, error) {
	switch k := e.GetEffect().(type) {
	case *actionv1.Effect_CertificateAdd:
		return certificateDeed{w, k.CertificateAdd}, nil
	case *actionv1.Effect_BindingSet:
		return bindingDeed{w, k.BindingSet}, nil
	case *actionv1.Effect_IisSet:
		return iisDeed{w, k.IisSet}, nil
	case *actionv1.Effect_IisStart:
		return iisStartDeed{work: w, e: k.IisStart}, nil
	case *actionv1.Effect_IisRecycle:
		return recycleDeed{work: w, e: k.IisRecycle}, nil
	case *actionv1.Effect_DeviceSet:
		return deviceDeed{w, k.DeviceSet}, nil
	case *actionv1.Effect_PowerSet:
		return powerDeed{w, k.PowerSet}, nil
	case *actionv1.Effect_ProgramRun:
		return programDeed{work: w, e: k.ProgramRun}, nil
	case *actionv1.Effect_FeatureAdd:
		return featureDeed{work: w, e: k.FeatureAdd}, nil
	case *actionv1.Effect_PeerProbe:
		return peersDeed{w, k.PeerProbe}, nil
	}
	return nil, errUnknownKind
}

// traceless is a deed that leaves nothing by which one could tell whether it was done: of one that was interrupted nobody knows.
type traceless interface{ traceless() }

// pressing is a deed that can leave the machine in a state that must not last, whatever becomes of the task.
type pressing interface {
	// mustNotLast says whether now is such a state of what t has touched.
	mustNotLast(t touch, now *actionv1.State) bool
}

// irrevocable is what deeds without an inverse have in common.
type irrevocable struct{}

func (irrevocable) inverse() actionv1.Inverse { return actionv1.Inverse_INVERSE_NONE }

// restore is never called: see deed.
func (irrevocable) restore(context.Context, touch) *actionv1.Undo {
	return &actionv1.Undo{Outcome: actionv1.UndoOutcome_UNDO_OUTCOME_FAILED, Reason: "it cannot be undone"}
}

// changedSince says that a resource is no longer what the plan was made for. It names both.
func changedSince(resource, now, expected string) error {
	return fmt.Errorf("%s: is %s now, the plan was made for %s; plan it again", resource, now, expected)
}

// endPressing puts back at once what an interrupted task may have left in a state that must not last: before anything is waited for.
func (c *course) endPressing(ctx context.Context) {
	c.undo(ctx, func(t touch) bool {
		d, ok := t.deed.(pressing)
		if !ok {
			return false
		}
		now, err := look(ctx, t.deed)
		// What cannot be read is met again when the task is settled.
		return err == nil && d.mustNotLast(t, now)
	})
}
