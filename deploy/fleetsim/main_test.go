package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseRefusesWhatItCannotMean(t *testing.T) {
	for name, c := range map[string]struct{ args, says string }{
		"a word that is no flag":   {"agents", "no flag"},
		"a latency without unit":   {"--latency 50", "want a duration"},
		"a token file that is not": {"--token-file none", "token file"},
		"counts all the time":      {"--every 0s", "above 0"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(strings.Fields(c.args))
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%q: %v, want an error that says %q", c.args, err, c.says)
			}
		})
	}
}

func TestFlagsReachTheFleet(t *testing.T) {
	o, err := parse(strings.Fields("--server a:1 --agents 7 --latency 1ms-2ms --fail 0.1 --flap 0.2 --cut 3 --seed 4 --duration 5s --dir d"))
	if err != nil {
		t.Fatal(err)
	}
	s := o.Script
	if o.Server != "a:1" || o.Agents != 7 || s.Latency.Most != 2*time.Millisecond || s.Fail != 0.1 || s.Flap != 0.2 || s.Cut != 3 || o.Seed != 4 ||
		o.duration != 5*time.Second || o.Dir != "d" {
		t.Errorf("the flags became %+v", o)
	}
}

// Without a server and a token nothing can begin; the error says what to do.
func TestRunSaysWhatIsMissing(t *testing.T) {
	err := run(t.Context(), []string{"--dir", filepath.Join(t.TempDir(), "fleet"), "--agents", "1"}, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "fleetctl token create") {
		t.Errorf("run ended with %v, want it to name the command that makes a token", err)
	}
}
