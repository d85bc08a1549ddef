package inventory_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// The settings that docs/sites.md shows are good ones, and all of them.
func TestTheDocumentedSettingsAreGood(t *testing.T) {
	page, err := os.ReadFile("../../docs/sites.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "```yaml\n")
	block, _, _ := strings.Cut(rest, "```")
	var doc any
	if err := yaml.Unmarshal([]byte(block), &doc); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	settings := &fleetv1.SiteSettings{}
	if err := protojson.Unmarshal(text, settings); err != nil {
		t.Fatal(err)
	}
	newFixture(t).mustSet(settings, everyField()...)
	fields := settings.ProtoReflect().Descriptor().Fields()
	for n := range fields.Len() {
		if !settings.ProtoReflect().Has(fields.Get(n)) {
			t.Errorf("docs/sites.md shows no %s", fields.Get(n).JSONName())
		}
	}
}
