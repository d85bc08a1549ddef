package server

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/bandfleet/bandfleet/proto/catalogue/signing"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// scannerPack is a pack of one entry.
const scannerPack = `name: lyon
version: 1.0.0
entries:
  - id: lyon-scanner
    title: The scanner of Lyon is silent
    symptom: Nothing happens.
    chapter: Lyon
    target: terminal
    detect: {reported: true}
    remedy: {kind: guided}
    person: {assignee: site-desk, steps: [{do: Plug it in anew.}]}
    verify: It beeps.
`

// A pack comes over the wire, is in force over a restart, and what is wrong with another one is told field by field.
func TestPacksComeOverTheWire(t *testing.T) {
	key, err := signing.Generate()
	if err != nil {
		t.Fatal(err)
	}
	settings := config(t.TempDir())
	settings.PackKeys = []signing.PublicKey{key.Public()}
	sign := func(text string) *fleetv1.PublishPackRequest {
		sum := key.Sign([]byte(text))
		return &fleetv1.PublishPackRequest{Content: []byte(text), Signature: sum.Bytes, KeyId: sum.KeyID, Reason: "INC-4711"}
	}
	r := startWith(t, settings)
	api := fleetv1.NewCatalogueServiceClient(r.admin)
	if _, err := api.PublishPack(t.Context(), sign(scannerPack)); err != nil {
		t.Fatal(err)
	}
	forged := sign(scannerPack)
	forged.Content = append(forged.Content, '#')
	if _, err := api.PublishPack(t.Context(), forged); status.Code(err) != codes.PermissionDenied {
		t.Errorf("a text that was changed after it was signed: %v, want PERMISSION_DENIED", err)
	}
	if _, err := api.PublishPack(t.Context(), sign(strings.Replace(scannerPack, "1.0.0", "0.9.0", 1))); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("an older version: %v, want FAILED_PRECONDITION", err)
	}
	bad := strings.NewReplacer("1.0.0", "1.1.0", "target: terminal", "target: moon", "site-desk", "boss").Replace(scannerPack)
	_, err = api.PublishPack(t.Context(), sign(bad))
	if got := fieldsOf(err); status.Code(err) != codes.InvalidArgument || got != "content.entries[lyon-scanner].target content.entries[lyon-scanner].person.assignee" {
		t.Errorf("a bad pack: %v, fields %q; want INVALID_ARGUMENT with target and person.assignee", err, got)
	}
	r.halt()

	r = startWith(t, settings)
	api = fleetv1.NewCatalogueServiceClient(r.admin)
	got, err := api.GetCatalogue(t.Context(), &fleetv1.GetCatalogueRequest{})
	if err != nil || len(got.GetPacks()) != 1 || got.GetPacks()[0].GetVersion() != "1.0.0" || got.GetEntries() == 0 {
		t.Errorf("after a restart: %v, %v; want the pack in version 1.0.0", got, err)
	}
	if _, err := api.RemovePack(t.Context(), &fleetv1.RemovePackRequest{Name: "lyon"}); err != nil {
		t.Error(err)
	}
	if _, err := api.RemovePack(t.Context(), &fleetv1.RemovePackRequest{Name: "lyon"}); status.Code(err) != codes.NotFound {
		t.Errorf("removing it again: %v, want NOT_FOUND", err)
	}
	r.halt()
}

// fieldsOf are the fields that a refusal names.
func fieldsOf(err error) string {
	var fields []string
	for _, d := range status.Convert(err).Details() {
		if bad, ok := d.(*errdetails.BadRequest); ok {
			for _, v := range bad.GetFieldViolations() {
				fields = append(fields, v.GetField())
			}
		}
	}
	return strings.Join(fields, " ")
}
