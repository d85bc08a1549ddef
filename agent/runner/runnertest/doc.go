// Package runnertest drives actions as an agent would: the agent's own runner with a real journal, on a machine in memory, in a bubble of
// time, with the actions in the test's own process. The tests of plugins use it: Bench for what an action comes to, Crash for what is
// left when the agent dies at any moment.
package runnertest
