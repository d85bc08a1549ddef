// Package runner drives one task on this machine: permit, locks, deadline, Plan, Apply, settling time, Verify, undo, and the
// settlement of what a crash left behind. It is the only caller of the host's effects; agent/link feeds it with what the
// server sends.
//
// A task's way through the files: delivery.go takes it in, validate.go judges it, queue.go holds it until a permit, a quiet moment (people.go) and its
// locks are there, course.go takes it to its end and phases.go drives its plugin, which calls.go answers (queries.go, effects.go, plan.go
// hold it to what it may; deed.go says how each kind of effect is done), undo.go puts back what did not help, result.go and output.go say what came of it. recover.go and settle.go take
// up what an earlier process left; obligations.go keeps at what could not be put back.
package runner
