package runner

import (
	"context"
	"io"
	"time"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
)

// Plugins finds and starts the plugins that were pinned at enrolment. Package agent/plugins implements it.
type Plugins interface {
	// Find returns the plugin that offers an action, and the action.
	Find(action string) (Plugin, *actionv1.Action, bool)
}

// Plugin is one pinned plugin.
type Plugin interface {
	// Name, Version and SHA256 (lower case hexadecimal) say which plugin ran.
	Name() string
	Version() string
	SHA256() string
	// Launch checks the file against its pinned hash and starts it. ctx bounds the start only. Everything that the process
	// writes goes to output as well, unless that is nil, until Close has returned. A *RefusedError says that the plugin is not
	// what was pinned, and what to do.
	Launch(ctx context.Context, output io.Writer) (Process, error)
}

// Process is a running plugin. It serves one run.
type Process interface {
	// Phase drives one phase: it hands the plugin's calls to calls and returns its Finish. It returns an error when the
	// plugin breaks the protocol or dies, and ctx's error, with the process still to be closed, when ctx ends.
	Phase(ctx context.Context, start *actionv1.Start, calls Calls) (*actionv1.Finish, error)
	// Output returns the last of what the process wrote, and whether earlier output was cut.
	Output() (text string, truncated bool)
	// Close kills the process and its children and waits for their end.
	Close() error
}

// Calls answers what a plugin asks for during one phase. The runner implements it: here effects are held to the plan and to
// the manifest, journalled and done. Calls of one phase arrive one after the other.
type Calls interface {
	Query(ctx context.Context, q *actionv1.Query) (*actionv1.QueryResult, error)
	// Effect returns what was recorded. An effect that was tried and did not come about is no Go error: the record's Error says
	// why. A *RefusedError ends the run.
	Effect(ctx context.Context, e *actionv1.EffectRequest) (*actionv1.RecordedEffect, error)
	Wait(ctx context.Context, d time.Duration) error
	Progress(p *actionv1.Progress)
	Evidence(e *actionv1.Evidence)
	// Finding and Certificates are kept with the result.
	Finding(f *actionv1.Finding)
	Certificates(c *actionv1.CertificateReport)
}

// RefusedError says that a plugin is not trusted with more: it asked for something it had no right to (not declared, not
// planned, not in this phase), or it is not the plugin that was pinned.
type RefusedError struct {
	Message string
}

// Error implements error.
func (e *RefusedError) Error() string { return e.Message }
