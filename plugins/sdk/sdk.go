// Package sdk is what the author of an action imports. An action describes itself (Manifest) and has three phases: Plan reads
// and says what it would do, Apply asks the agent to do it, Verify reads and says whether the wanted state is there. The
// agent does everything to the machine, holds the action to its plan, journals, undoes and settles after a crash, so an
// action needs no code for any of that. A plugin's main is one call of Serve; RunPhase drives a phase within a test.
package sdk

import (
	"context"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Action is one named remedy or check. Its methods keep nothing between phases: each phase may run in a new process.
type Action interface {
	// Manifest describes the action. It returns the same every time.
	Manifest() *actionv1.Action
	// Plan reads the machine and returns what would be done (see Ready, NoChange and Refuse). An error says that no plan could be
	// made.
	Plan(ctx context.Context, r *Run) (*actionv1.Plan, error)
	// Apply asks for the plan's effects. An error, best made with Fail, ends it; the agent then undoes.
	Apply(ctx context.Context, r *ApplyRun) error
	// Verify reads the machine and compares, from the parameters and the recorded effects alone. It must work in a process that
	// never ran Plan or Apply. An error counts as a check that did not hold.
	Verify(ctx context.Context, r *VerifyRun) (*actionv1.Verdict, error)
}

// Calls is what a run asks of the agent. The agent serves it over the run's stream; tests serve it from memory. A refusal
// (something that was not declared or planned) ends the run.
type Calls interface {
	Query(ctx context.Context, q *actionv1.Query) (*actionv1.QueryResult, error)
	// Effect returns what was recorded. An effect that did not come about is no Go error: the record's Error says why.
	Effect(ctx context.Context, e *actionv1.EffectRequest) (*actionv1.RecordedEffect, error)
	Wait(ctx context.Context, d time.Duration) error
	Progress(p *actionv1.Progress)
	Evidence(e *actionv1.Evidence)
	Finding(f *actionv1.Finding)
	Certificates(c *actionv1.CertificateReport)
}

// Failure is an error that says what a person does next.
type Failure struct {
	// Reason is why, as a clause: `"Nymi Agent" is still stopping after 10s`.
	Reason string
	// NextStep is what a person does next.
	NextStep string
}

// Fail returns a *Failure.
func Fail(reason, nextStep string) error { return &Failure{Reason: reason, NextStep: nextStep} }

// Error implements error.
func (f *Failure) Error() string {
	if f.NextStep == "" {
		return f.Reason
	}
	return f.Reason + "; " + f.NextStep
}
