package host

import (
	"context"
	"slices"
	"strings"
	"testing"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
)

// dism answers from testdata, by the feature's name, and notes what it is asked.
func dism(t *testing.T, exitCode int, asked *[]string) dismFeatures {
	t.Helper()
	return dismFeatures{run: func(_ context.Context, arguments ...string) (string, int, error) {
		*asked = append(*asked, strings.Join(arguments, " "))
		name, _ := strings.CutPrefix(arguments[len(arguments)-1], "/featurename:")
		content, err := answers.ReadFile("testdata/dism/" + name + ".txt")
		if err != nil {
			return "Error: 5", exitCode, nil //nolint:nilerr // it is in the output, as dism has it
		}
		if name == "unknown" {
			return string(content), -2146498548, nil // as Go gives it: 0x800f080c
		}
		return string(content), 0, nil
	}}
}

func TestFeaturesAreRead(t *testing.T) {
	var asked []string
	got, err := dism(t, 5, &asked).State(t.Context(), []string{"enabled", "disabled", "unknown"})
	if err != nil {
		t.Fatal(err)
	}
	want := &actionv1.FeatureStates{Features: []*actionv1.Feature{
		{Name: "enabled", Known: true, Installed: true}, {Name: "disabled", Known: true}, {Name: "unknown"},
	}}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("features (-want +got):\n%s", diff)
	}
	if want := "/online /english /get-featureinfo /featurename:enabled"; asked[0] != want {
		t.Errorf("dism was asked %q, want %q", asked[0], want)
	}
	got, err = dism(t, 5, &asked).State(t.Context(), []string{"pending"})
	if err != nil || !got.GetRestartNeeded() || !got.GetFeatures()[0].GetInstalled() {
		t.Errorf("a feature that waits for a restart = %v, %v; want it installed, a restart needed", got, err)
	}
	if _, err := dism(t, 5, &asked).State(t.Context(), []string{"none"}); err == nil || !strings.Contains(err.Error(), `"none"`) {
		t.Errorf("dism fails: %v, want an error with the feature's name", err)
	}
}

func TestFeaturesAreAdded(t *testing.T) {
	for exitCode, ok := range map[int]bool{0: true, dismRestart: true, 50: false} {
		var asked []string
		err := dism(t, exitCode, &asked).Add(t.Context(), []string{"IIS-ASPNET45", "IIS-ISAPIFilter"}, `D:\sources\sxs`)
		if (err == nil) != ok {
			t.Errorf("exit code %d: %v, want success %v", exitCode, err, ok)
		}
		want := []string{`/online /english /enable-feature /all /norestart /quiet /featurename:IIS-ASPNET45 /featurename:IIS-ISAPIFilter /source:D:\sources\sxs /limitaccess`}
		if !slices.Equal(asked, want) {
			t.Errorf("dism was asked %q, want %q", asked, want)
		}
	}
}

func TestWhatIsNoFeature(t *testing.T) {
	var asked []string
	features := dism(t, 0, &asked)
	for _, name := range []string{"", "/disable-feature", "a b", "a /source:x", strings.Repeat("a", 129)} {
		_, err := features.State(t.Context(), []string{name})
		if added := features.Add(t.Context(), []string{name}, ""); err == nil || added == nil || len(asked) != 0 {
			t.Errorf("feature %q: %v, %v, dism was asked %q; want refusals and no question", name, err, added, asked)
		}
	}
	if err := features.Add(t.Context(), []string{"a"}, `D:\" /x`); err == nil || len(asked) != 0 {
		t.Errorf("a source with a quote: %v, dism was asked %q; want a refusal", err, asked)
	}
}
