package host

import (
	"slices"
	"testing"
)

func TestKeyLevels(t *testing.T) {
	for key, want := range map[string][]string{
		`SOFTWARE`:               {"SOFTWARE"},
		`SOFTWARE\Nymi\NES`:      {"SOFTWARE", `SOFTWARE\Nymi`, `SOFTWARE\Nymi\NES`},
		`\SOFTWARE\Nymi Others\`: {"SOFTWARE", `SOFTWARE\Nymi Others`},
	} {
		if got := keyLevels(key); !slices.Equal(got, want) {
			t.Errorf("levels of %q are %q, want %q", key, got, want)
		}
	}
}
