// Package runner drives one task on this machine: permit, locks, deadline, Plan, Apply, settling time, Verify, undo, and the
// settlement of what a crash left behind. It is the only caller of the host's effects; agent/link feeds it with what the
// server sends.
package runner
