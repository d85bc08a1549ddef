package refusal

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestShownIsBoundedAndText(t *testing.T) {
	for _, text := range []string{"", "lyon", strings.Repeat("a", maxShown), strings.Repeat("a", maxShown+1), strings.Repeat("a", maxShown-1) + "ééé"} {
		got := Shown(text)
		if len(text) <= maxShown && got != text {
			t.Errorf("Shown(%q) = %q, want it whole", text, got)
		}
		if len(text) > maxShown && (!utf8.ValidString(got) || !strings.HasSuffix(got, "…") || len(got) > maxShown+len("…")) {
			t.Errorf("Shown(%q) = %q, want it cut between characters, with a mark", text, got)
		}
	}
}
