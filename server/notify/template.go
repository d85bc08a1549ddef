package notify

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"text/template/parse"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Bounds of a template and of what it may make, in bytes.
const (
	maxTemplate     = 4 << 10
	maxTemplateText = 8 << 10
)

// Fields are what a template may use: {{.Summary}}, {{.Event}}, {{.Site}}, {{.Time}}, {{.Terminal}}, {{.Object}}, {{.Entry}}, {{range .Details}}.
type fields struct {
	ID, Event, Site, Summary, Object, Terminal, Entry string
	Time                                              time.Time
	Details                                           []string
}

// render makes a route's text of a notice. An empty template makes an empty text.
func render(text string, n *fleetv1.Notice) (string, error) {
	if text == "" {
		return "", nil
	}
	t, err := parsed(text)
	if err != nil {
		return "", err
	}
	out := &bounded{}
	err = t.Execute(out, fields{
		ID: n.GetId(), Event: n.GetEvent(), Site: n.GetSite(), Summary: n.GetSummary(), Object: n.GetObject(), Terminal: n.GetTerminalName(),
		Entry: n.GetEntry(), Time: n.GetTime().AsTime(), Details: n.GetDetails(),
	})
	return out.text.String(), err
}

var errTooLong = fmt.Errorf("makes more than %d bytes", maxTemplateText)

// parsed reads a template. It may neither call others (that may have no end) nor format (a width may take all memory).
func parsed(text string) (*template.Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(text), maxTemplate)
	}
	none := func(...any) (string, error) { return "", errors.New("printf is not for templates of routes") }
	t, err := template.New("route").Funcs(template.FuncMap{"printf": none}).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	if len(t.Templates()) > 1 || callsTemplate(t.Root) {
		return nil, errors.New("define, block and template are not for templates of routes")
	}
	return t, nil
}

// callsTemplate looks for {{template}} in a tree.
func callsTemplate(n parse.Node) bool {
	switch n := n.(type) {
	case *parse.TemplateNode:
		return true
	case *parse.ListNode:
		return n != nil && anyCalls(n.Nodes)
	case *parse.IfNode:
		return callsTemplate(n.List) || callsTemplate(n.ElseList)
	case *parse.RangeNode:
		return callsTemplate(n.List) || callsTemplate(n.ElseList)
	case *parse.WithNode:
		return callsTemplate(n.List) || callsTemplate(n.ElseList)
	}
	return false
}

func anyCalls(nodes []parse.Node) bool {
	for _, n := range nodes {
		if callsTemplate(n) {
			return true
		}
	}
	return false
}

// bounded takes so much and no more.
type bounded struct{ text strings.Builder }

// Write implements io.Writer.
func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > maxTemplateText {
		return 0, errTooLong
	}
	return b.text.Write(p)
}

// sample is what a template is tried with.
func sample() *fleetv1.Notice {
	return &fleetv1.Notice{
		Id: "N-000000000001", Event: FaultOpened, Site: "lyon", Time: timestamppb.New(time.Unix(0, 0)), Summary: "Nymi Bluetooth Endpoint is stopped on press-4",
		Object: "F-1", TerminalName: "press-4", Entry: "nbe-missing", Details: []string{"service: stopped"},
	}
}
