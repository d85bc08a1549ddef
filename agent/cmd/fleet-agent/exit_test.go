package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/agent"
	"github.com/bandfleet/bandfleet/agent/install"
	"github.com/bandfleet/bandfleet/agent/link"
	"github.com/bandfleet/bandfleet/agent/service"
)

func TestExitCodes(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("unknown flag"), 2},
		{&failure{errors.New("disk full")}, 1},
		{&failure{fmt.Errorf("x: %w", &agent.InputError{Err: errors.New("bad token")})}, 2},
		{&failure{fmt.Errorf("x: %w", service.ErrNotAllowed)}, 3},
		{&failure{&install.RefusedError{Err: errors.New("no release")}}, 2},
		{&failure{&install.TakenBackError{Err: errors.New("not up")}}, 7},
		{&failure{&install.DownError{Err: &install.RefusedError{Err: errors.New("x")}}}, 8},
		{&failure{&link.Error{Kind: link.Denied}}, 5},
		{&failure{&link.Error{Kind: link.Rejected}}, 2},
		{&failure{&link.Error{Kind: link.Unreachable}}, 6},
		{&failure{&link.Error{Kind: link.Failed}}, 1},
	} {
		if got := exitCode(tc.err); got != tc.want {
			t.Errorf("exit code of %v is %d, want %d: scripts rely on it", tc.err, got, tc.want)
		}
	}
}

func TestMistakesInTheCommandLine(t *testing.T) {
	for want, args := range map[string][]string{
		"unknown command":        {"frob"},
		"unknown flag":           {"run", "--bogus"},
		"no token":               {"enroll"},
		"give one of them":       {"enroll", "--token", "a", "--token-file", "b"},
		"--server is missing":    {"enroll", "--token", "a", "--plugins", "."},
		"not an enrolment token": {"enroll", "--token", "a", "--plugins", ".", "--server", "h:1", "--data-dir", "/nowhere"},
		"is no simulated":        {"sim", "show", "."},
		"write it as `fleet-agent sim set DIR service NAME STATE` or `fleet-agent sim set DIR adapter STATE`": {"sim", "set", "."},
		"write it as `fleet-agent plugins lock DIR`":                                                          {"plugins", "lock"},
		`"frob" is not a command of fleet-agent sim: use one of certificate`:                                  {"sim", "frob"},
		`"frob" is not a command of fleet-agent service`:                                                      {"service", "frob"},
		"is not enrolled": {"run", "--data-dir", "."},
		"sim:DIR":         {"service", "install", "--data-dir", ".", "--host", "box:1"},
	} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs); code != exitInput || !strings.Contains(errs.String(), want) {
			t.Errorf("fleet-agent %v: exit code %d and %q, want code %d and %q", args, code, errs.String(), exitInput, want)
		}
	}
}

func TestVersion(t *testing.T) {
	var out, errs bytes.Buffer
	if code := run([]string{"version"}, &out, &errs); code != 0 || !strings.HasPrefix(out.String(), "fleet-agent "+version) {
		t.Errorf("version: exit code %d, %q, %q; want the version", code, out.String(), errs.String())
	}
}
