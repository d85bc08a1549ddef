// Package e2e tests the whole product from outside: the real programs, started as processes, spoken to through their command
// lines. What needs only Go runs in `make test`; files with the build tag real need root, Wine and a systemd container and
// run in `make test-real`. Programs that die at a named point, for the tests of crashes, are built with the tag killpoints. It has no
// code of its own.
package e2e
