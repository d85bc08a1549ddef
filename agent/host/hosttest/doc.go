// Package hosttest holds what tests of the agent need of a machine: Memory, a scriptable machine in memory, and Conformance,
// the suite that every implementation of package host passes. Only tests import it.
package hosttest
