package cli

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// TestWindowsAreReadBack: what "site show" prints is what "site set" takes. A day that gets lost on the way closes a site.
func TestWindowsAreReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		days := rapid.SliceOfNDistinct(rapid.Uint32Range(1, 7), 0, 7, rapid.ID[uint32]).Draw(t, "days")
		slices.Sort(days)
		w := &fleetv1.Window{Days: days, Start: "22:00", End: "04:00"}
		if got, err := parseWindow(windowWords(w)); err != nil || !proto.Equal(got, w) {
			t.Fatalf("%v is written %q and read %v, %v", w, windowWords(w), got, err)
		}
	})
}

func TestDaysGoOverTheEndOfTheWeek(t *testing.T) {
	for text, want := range map[string]string{
		"mon": "[1]", "MON-Fri": "[1 2 3 4 5]", "sat-mon": "[1 6 7]", "sun,wed,wed": "[3 7]", "tue-tue": "[2]",
	} {
		if got, err := parseDays(text); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%q is read as %v, %v, want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "mon-", "-fri", "mon,,tue", "someday"} {
		if got, err := parseDays(text); err == nil {
			t.Errorf("%q is read as %v, want an error", text, got)
		}
	}
}

func TestRootsAreReadInTheFormsOfOtherTools(t *testing.T) {
	const hash = "75cccf38b289c56362f44d471e2ead4f0faa9a6e04066da3c2fa35eec3c01a9d"
	colons := "75:CC:CF:38:B2:89:C5:63:62:F4:4D:47:1E:2E:AD:4F:0F:AA:9A:6E:04:06:6D:A3:C2:FA:35:EE:C3:C0:1A:9D"
	for _, text := range []string{"a=" + hash, "a=" + colons} {
		if r, err := parseRoot(text); err != nil || r.GetSha256() != hash || r.GetName() != "a" {
			t.Errorf("%q is read as %v, %v", text, r, err)
		}
	}
}
