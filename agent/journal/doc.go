// Package journal is the agent's memory on disk: which tasks it accepted, what it was about to do to the machine, what came
// of it, and what is still to be put right. Every method that writes returns only when its record is on disk, so whatever
// the agent does next is known after a crash. Package runner writes it; agent.go opens it. One process at a time has it open.
package journal
