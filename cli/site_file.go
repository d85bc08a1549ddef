package cli

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/bandfleet/bandfleet/cli/exit"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// maxSettingsFile is how large a file of settings may be, in bytes.
const maxSettingsFile = 1 << 20

// readSiteFile fills a request from a file that holds a site, as "site show -o yaml" prints it, or its settings alone. All settings
// are meant: what is not in the file is emptied.
func readSiteFile(path string, req *fleetv1.SetSiteRequest) error {
	doc, err := readYAML(path)
	if err != nil {
		return err
	}
	req.Fields = fieldsOf(req.GetSettings())
	if !hasKey(doc, "settings") {
		return decodeInto(path, doc, req.GetSettings())
	}
	site := &fleetv1.Site{}
	if err := decodeInto(path, doc, site); err != nil {
		return err
	}
	if site.GetName() != "" && !strings.EqualFold(site.GetName(), req.GetName()) {
		return exit.Errorf(exit.BadInput, "file %q: is of site %q, and site %q is to be changed", path, site.GetName(), req.GetName()).
			Then("remove name and etag from the file if you mean it")
	}
	req.Fields = append(req.Fields, "description")
	req.Settings, req.Description, req.Etag = site.GetSettings(), site.GetDescription(), site.GetEtag()
	return nil
}

func readYAML(path string) (*yaml.Node, error) {
	text, err := readBounded(path, maxSettingsFile)
	if err != nil {
		return nil, exit.Errorf(exit.BadInput, "file %q: %v", path, err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, exit.Errorf(exit.BadInput, "file %q: %v", path, err)
	}
	if len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode {
		return nil, exit.Errorf(exit.BadInput, "file %q: holds no settings", path).Then("write it like `fleetctl site show SITE -o yaml`")
	}
	return doc.Content[0], nil
}

// fieldsOf names every field of a message.
func fieldsOf(m proto.Message) (names []string) {
	fields := m.ProtoReflect().Descriptor().Fields()
	for n := range fields.Len() {
		names = append(names, string(fields.Get(n).Name()))
	}
	return names
}

func hasKey(n *yaml.Node, key string) bool {
	for k := 0; k+1 < len(n.Content); k += 2 {
		if n.Content[k].Value == key {
			return true
		}
	}
	return false
}

// decodeInto reads a document as protojson. Every key that the message does not know is an error with its line.
func decodeInto(path string, n *yaml.Node, m proto.Message) error {
	if unknown := unknownKeys(n, m.ProtoReflect().Descriptor()); len(unknown) > 0 {
		return exit.Errorf(exit.BadInput, "file %q: has keys that are not known", path).With(unknown...).
			Then("correct them; `fleetctl site show SITE -o yaml` has the keys that there are")
	}
	var value any
	if err := n.Decode(&value); err != nil {
		return exit.Errorf(exit.BadInput, "file %q: %v", path, err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		return exit.Errorf(exit.BadInput, "file %q: %v", path, err)
	}
	if err := protojson.Unmarshal(text, m); err != nil {
		return exit.Errorf(exit.BadInput, "file %q: %v", path, err).Then("put numbers that are text, and times of day, in quotes")
	}
	return nil
}

// unknownKeys names the keys below n that a message has not.
func unknownKeys(n *yaml.Node, message protoreflect.MessageDescriptor) (out []string) {
	if n.Kind != yaml.MappingNode {
		return nil
	}
	for k := 0; k+1 < len(n.Content); k += 2 {
		key, value := n.Content[k], n.Content[k+1]
		field := message.Fields().ByName(protoreflect.Name(key.Value))
		if field == nil {
			field = message.Fields().ByJSONName(key.Value)
		}
		switch {
		case field == nil:
			out = append(out, fmt.Sprintf("line %d: %q", key.Line, key.Value))
		case field.IsList() && field.Message() != nil:
			for _, item := range value.Content {
				out = append(out, unknownKeys(item, field.Message())...)
			}
		case field.Message() != nil && !field.IsMap():
			out = append(out, unknownKeys(value, field.Message())...)
		}
	}
	return out
}
