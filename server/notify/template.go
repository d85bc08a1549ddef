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

// parsed reads a template. It may neither call others (that may have no end), nor format or join texts (a width, or a text that is joined to itself
// again and again, may take all memory), nor go through anything but the details (counting to a large number may take for ever).
func parsed(text string) (*template.Template, error) {
	if len(text) > maxTemplate {
		return nil, fmt.Errorf("has %d bytes, at most %d are allowed", len(text), maxTemplate)
	}
	t, err := template.New("route").Funcs(notHere()).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, err
	}
	if len(t.Templates()) > 1 {
		return nil, errCalls
	}
	return t, harmless(t.Root, false)
}

// notHere has the functions that make long texts of short ones fail.
func notHere() template.FuncMap {
	none := template.FuncMap{}
	for _, name := range []string{"printf", "print", "println", "html", "js", "urlquery"} {
		none[name] = func(...any) (string, error) { return "", errors.New(name + " is not for templates of routes") }
	}
	return none
}

var (
	errCalls  = errors.New("define, block and template are not for templates of routes")
	errRanges = errors.New("range is for {{range .Details}} only, and not within another")
)

// harmless refuses what has no end or takes for ever. inRange says that the node is within a range already.
func harmless(n parse.Node, inRange bool) error {
	switch n := n.(type) {
	case *parse.TemplateNode:
		return errCalls
	case *parse.ListNode:
		return allHarmless(n, inRange)
	case *parse.IfNode:
		return errors.Join(allHarmless(n.List, inRange), allHarmless(n.ElseList, inRange))
	case *parse.WithNode:
		return errors.Join(allHarmless(n.List, inRange), allHarmless(n.ElseList, inRange))
	case *parse.RangeNode:
		if inRange || !isDetails(n.Pipe) {
			return errRanges
		}
		return errors.Join(allHarmless(n.List, true), allHarmless(n.ElseList, true))
	}
	return nil
}

func allHarmless(list *parse.ListNode, inRange bool) error {
	if list == nil {
		return nil
	}
	for _, n := range list.Nodes {
		if err := harmless(n, inRange); err != nil {
			return err
		}
	}
	return nil
}

// isDetails says that a pipeline is .Details or $.Details and nothing else.
func isDetails(p *parse.PipeNode) bool {
	if len(p.Cmds) != 1 || len(p.Cmds[0].Args) != 1 {
		return false
	}
	what := p.Cmds[0].Args[0].String()
	return what == ".Details" || what == "$.Details"
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
