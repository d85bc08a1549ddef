package runner

import (
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	storagev1 "github.com/bandfleet/bandfleet/proto/storage/v1"
)

// Journal is what the runner remembers across a crash. Each write is on disk when it returns; a failed one wrote nothing. Package
// agent/journal implements it.
type Journal interface {
	// Epoch and RaiseEpoch keep the greatest server epoch seen.
	Epoch() (uint64, error)
	RaiseEpoch(epoch uint64) error
	// Accept and Reject take a task in, without and with its result; a known key returns the record that is there.
	Accept(t *agentv1.Task, at time.Time) (rec *storagev1.JournalTask, known bool, err error)
	Reject(t *agentv1.Task, at time.Time, result *actionv1.TaskResult) (rec *storagev1.JournalTask, known bool, err error)
	// Start notes that an accepted task begins; Rerun that a started one begins again.
	Start(k *agentv1.TaskKey, at time.Time, bootID string) error
	Rerun(k *agentv1.TaskKey, bootID string) error
	// SavePlan, EnterPhase and SaveUndone note how far a started task is.
	SavePlan(k *agentv1.TaskKey, plan *actionv1.Plan) error
	EnterPhase(k *agentv1.TaskKey, phase actionv1.Phase) error
	SaveUndone(k *agentv1.TaskKey, undone []*actionv1.Undo) error
	// SaveAnswer keeps what a person answered a started task, by id of the planned effect that asked, and returns the answer that
	// came first: another one changes nothing. Nil, without an error, says that the task has ended.
	SaveAnswer(k *agentv1.TaskKey, planID string, answer *actionv1.Confirmation) (*actionv1.Confirmation, error)
	// EffectIntent notes what is about to be done and EffectOutcome what came of it; Effects reads both back, in order:
	// effect i has the number i+1.
	EffectIntent(k *agentv1.TaskKey, run uint32, e *actionv1.RecordedEffect) (sequence uint32, err error)
	EffectOutcome(k *agentv1.TaskKey, sequence uint32, e *actionv1.RecordedEffect) error
	Effects(k *agentv1.TaskKey) ([]*storagev1.JournalEffect, error)
	// Finish notes the one result; Acknowledge that the server has it.
	Finish(k *agentv1.TaskKey, result *actionv1.TaskResult, at time.Time) error
	// FinishLeased is Finish, and keeps what of the task's changes is to end by itself, in the same write.
	FinishLeased(k *agentv1.TaskKey, result *actionv1.TaskResult, at time.Time, lease *storagev1.JournalLease) error
	// PutLease, DropLease and Leases keep that until it has ended and the server knows it.
	PutLease(l *storagev1.JournalLease) error
	DropLease(id string) error
	Leases() ([]*storagev1.JournalLease, error)
	Acknowledge(k *agentv1.TaskKey, at time.Time) error
	// OpenTasks returns the tasks without an acknowledged result, the one accepted first at the head.
	OpenTasks() ([]*storagev1.JournalTask, error)
	// PutObligation, DropObligation and Obligations keep what must still be put right, one for each resource.
	PutObligation(o *storagev1.Obligation) error
	DropObligation(resource string) error
	Obligations() ([]*storagev1.Obligation, error)
}
