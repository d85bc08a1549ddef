package audit_test

import (
	"strings"
	"testing"

	"github.com/bandfleet/bandfleet/server/audit"
)

func TestCheckReason(t *testing.T) {
	for _, good := range []string{"", "INC-4711: Übergabe ✓", strings.Repeat("x", 1024)} {
		if err := audit.CheckReason("reason", good); err != nil {
			t.Errorf("%.20q is refused: %v", good, err)
		}
	}
	for _, bad := range []string{strings.Repeat("x", 1025), "two\nlines", "\x1b[2J", "\xff", "abc\u202edef"} {
		if err := audit.CheckReason("reason", bad); err == nil {
			t.Errorf("%.20q is taken: it would not read in the record as it was meant", bad)
		}
	}
}
