// Package runner drives one task on this machine: permit, locks, deadline, Plan, Apply, settling time, Verify, undo, and the
// settlement of what a crash left behind. It is the only caller of the host's effects; agent/link feeds it with what the
// server sends.
//
// A task's way through the files: delivery.go takes it in, validate.go judges it, queue.go holds it until a permit, a quiet moment (people.go)
// and its locks are there, course.go takes it to its end and phases.go drives its plugin, which calls.go answers (queries*.go, effects.go and
// plan.go hold it to what it may). deed.go says what each kind of effect has in common, one file deed_*.go each how it is done and undone.
// undo.go puts back what did not help, with what was kept for it (kept.go); outdated.go finds the services that run with it still. result.go
// and output.go say what came of it. recover.go and settle.go take up what an earlier process left; obligations.go keeps at what could not be
// put back; leases.go puts back what was changed for a time, and leased.go holds plans to it.
package runner
