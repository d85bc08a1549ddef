package child

import (
	"testing"
	"time"
)

func TestParseMemory(t *testing.T) {
	m, err := parseMemory("Name:\tfleetd\nVmRSS:\t  371656 kB\nRssAnon:\t  300000 kB\nRssFile:\t   71656 kB\n")
	if err != nil || m.Resident != 371656 || m.Own != 300000 {
		t.Errorf("memory is %+v (%v), want 371656 and 300000 KB", m, err)
	}
	if m, err := parseMemory("Name:\tfleetd\n"); err == nil {
		t.Errorf("memory is %+v although nothing tells it: a ratio would be made of it", m)
	}
}

func TestParseCPU(t *testing.T) {
	// The name of a program may hold what ends it.
	d, err := parseCPU("42 (a) b) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 100 1 1")
	if err != nil || d != 2*time.Second {
		t.Errorf("processor time is %s (%v), want 2s: 150 and 50 ticks", d, err)
	}
	if _, err := parseCPU("42 (a) S 1"); err == nil {
		t.Error("half a line was read")
	}
}

func TestParseNumbers(t *testing.T) {
	if n, err := ParseNumbers("1.5 20", 2); err != nil || n[0] != 1.5 || n[1] != 20 {
		t.Errorf("numbers are %v (%v), want 1.5 and 20", n, err)
	}
	for _, text := range []string{"", "1", "1 2 3", "1 two"} {
		if n, err := ParseNumbers(text, 2); err == nil {
			t.Errorf("%q gave %v, want an error: a child that says something else has failed", text, n)
		}
	}
}

// A child answers lines, and ends when it is told to.
func TestAskAndStop(t *testing.T) {
	c, err := Start("cat")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Numbers("1 2", 2); err != nil || n[1] != 2 {
		t.Errorf("the answer is %v (%v), want what was said", n, err)
	}
	if files, err := c.Files(); err != nil || files < 3 {
		t.Errorf("%d open files (%v), want at least the three that every process has", files, err)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if err := c.Stop(); err != nil {
		t.Errorf("a second stop: %v, want nothing to be done", err)
	}
}

func TestAChildThatEndsEarlySaysWhy(t *testing.T) {
	c, err := Start("sh", "-c", "echo broken >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if line, err := c.Line(); err == nil {
		t.Errorf("it said %q, want an error", line)
	}
}
