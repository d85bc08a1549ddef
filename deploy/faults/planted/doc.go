// Package planted shows that the tests of faults find faults. Each patch in its folder plants one bug, such as a sync or a permit
// left out, in a copy of the tree, and names the test that must fail on it. It has no code of its own; `make planted` runs it.
package planted
