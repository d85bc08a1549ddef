package inventory_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
	"github.com/bandfleet/bandfleet/server/inventory"
)

func TestSelect(t *testing.T) {
	f := newFixture(t)
	f.enrol("lyon", "press-1")
	f.enrol("lyon", "press-2")
	f.enrol("turin", "press-3")
	gone := f.enrol("turin", "press-4")
	if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: gone}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Label(t.Context(), admin, &fleetv1.LabelTerminalRequest{Terminal: "press-2", Set: map[string]string{"line": "3"}}); err != nil {
		t.Fatal(err)
	}
	lyon := principal(fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, "Lyon")
	viewer := principal(fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, "lyon")
	nobody := &access.Principal{Name: ada, Operator: &fleetv1.Operator{}}
	for _, c := range []struct {
		who  *access.Principal
		sel  *fleetv1.Selection
		want string
	}{
		{admin, nil, "refused: selection: is empty; name sites, terminals, a role or labels, or write an expression"},
		{admin, &fleetv1.Selection{Sites: []string{"lyon", "TURIN"}}, "press-1 press-2 press-3"},
		{admin, &fleetv1.Selection{Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL}, "press-1 press-2 press-3"},
		{admin, &fleetv1.Selection{Terminals: []string{"PRESS-3", "t-0001"}}, "press-1 press-3"},
		{admin, &fleetv1.Selection{Terminals: []string{"press-1"}, Sites: []string{"turin"}}, "refused: no terminal matches"},
		{admin, &fleetv1.Selection{Labels: map[string]string{"line": "3"}}, "press-2"},
		{admin, &fleetv1.Selection{Labels: map[string]string{"line": ""}}, "refused: no terminal matches"},
		{admin, &fleetv1.Selection{Terminals: []string{"press-9"}}, `refused: terminal "press-9": not found`},
		{admin, &fleetv1.Selection{Terminals: []string{"press-4"}}, `refused: terminal "press-4": not found`},
		{admin, &fleetv1.Selection{Terminals: []string{gone}}, "refused: no terminal matches"},
		{admin, &fleetv1.Selection{Sites: []string{"nowhere"}}, `refused: site "nowhere": not found`},
		{admin, &fleetv1.Selection{Hosts: []string{"press-1"}}, "refused: has not the role nes-host"},
		{admin, &fleetv1.Selection{Role: 9}, "refused: role 9: is not known"},
		{lyon, &fleetv1.Selection{Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL}, "press-1 press-2"},
		{lyon, &fleetv1.Selection{Sites: []string{"turin"}}, `refused: site "turin": not found`},
		{lyon, &fleetv1.Selection{Terminals: []string{"press-1", "press-3"}}, `refused: terminal "press-3": not found`},
		{viewer, &fleetv1.Selection{Sites: []string{"lyon"}}, `refused: may not act on site "lyon"`},
		{viewer, &fleetv1.Selection{Terminals: []string{"press-1"}}, `refused: may not act on site "lyon"`},
		{viewer, &fleetv1.Selection{Labels: map[string]string{"line": "3"}}, "refused: no terminal matches"},
		{nobody, &fleetv1.Selection{Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL}, "refused: no terminal matches"},
		{nil, &fleetv1.Selection{Role: fleetv1.TerminalRole_TERMINAL_ROLE_USER_TERMINAL}, "refused: no terminal matches"},
	} {
		got := names(t, f, c.who, c.sel)
		if cause, refused := strings.CutPrefix(c.want, "refused: "); got != c.want && (!refused || !strings.HasPrefix(got, "refused: ") || !strings.Contains(got, cause)) {
			t.Errorf("selection %v gives %q, want %q", c.sel, got, c.want)
		}
	}
}

// A name of another site is refused in exactly the words in which a name that does not exist is.
func TestNoOracleInSelections(t *testing.T) {
	f := newFixture(t)
	f.enrol("turin", "press-3")
	lyon := principal(fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, "lyon")
	for _, make := range []func(name string) *fleetv1.Selection{
		func(n string) *fleetv1.Selection { return &fleetv1.Selection{Terminals: []string{n}} },
		func(n string) *fleetv1.Selection { return &fleetv1.Selection{Hosts: []string{n}} },
	} {
		there, missing := names(t, f, lyon, make("press-3")), names(t, f, lyon, make("press-8"))
		if strings.ReplaceAll(there, "press-3", "?") != strings.ReplaceAll(missing, "press-8", "?") {
			t.Errorf("%q and %q tell apart what exists", there, missing)
		}
	}
}

func TestTerminalPages(t *testing.T) {
	f := newFixture(t)
	token := f.token("lyon", 30)
	for i := range 30 {
		if _, err := f.Enroll(t.Context(), enrolRequest(t, token, fmt.Sprintf("press-%d", i)), f.ca.IssueAgent); err != nil {
			t.Fatal(err)
		}
	}
	f.enrol("turin", "other")
	lyon := principal(fleetv1.OperatorRole_OPERATOR_ROLE_VIEWER, "lyon")
	var ids []string
	page := pageOf(7)
	for {
		records, next, err := f.Terminals(t.Context(), lyon, nil, page, false)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			ids = append(ids, r.GetTerminal().GetId())
		}
		if page.Token = next; next == "" {
			break
		}
	}
	if len(ids) != 30 || !slices.IsSorted(ids) {
		t.Errorf("pages gave %v, want 30 in order and none of turin", ids)
	}
	for want, page := range map[string]inventory.Page{"BAD_PAGE_SIZE": {Size: 1001}, "BAD_PAGE_TOKEN": {Token: "!"}} {
		_, _, err := f.Terminals(t.Context(), lyon, nil, page, false)
		wantRefusal(t, err, want)
	}
}

func TestSelectByExpression(t *testing.T) {
	f := newFixture(t)
	up := f.enrol("lyon", "press-1")
	f.enrol("lyon", "press-2")
	f.up[up], f.up[f.enrol("turin", "press-3")] = true, true
	gone := f.enrol("turin", "press-4")
	if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: gone}); err != nil {
		t.Fatal(err)
	}
	lyon := principal(fleetv1.OperatorRole_OPERATOR_ROLE_OPERATOR, "lyon")
	for _, c := range []struct {
		who  *access.Principal
		sel  *fleetv1.Selection
		want string
	}{
		{admin, &fleetv1.Selection{Expression: "online"}, "press-1 press-3"},
		{admin, &fleetv1.Selection{Expression: "!online"}, "press-2"},
		{admin, &fleetv1.Selection{Expression: "os=linux and not site=turin"}, "press-1 press-2"},
		{admin, &fleetv1.Selection{Expression: "online", Sites: []string{"turin"}}, "press-3"},
		{admin, &fleetv1.Selection{Expression: "!online", Terminals: []string{"press-1", "press-2"}}, "press-2"},
		{admin, &fleetv1.Selection{Expression: "online", Terminals: []string{"press-2"}}, "refused: selection: no terminal matches"},
		{admin, &fleetv1.Selection{Expression: "state=decommissioned"}, "refused: selection: no terminal matches"},
		{admin, &fleetv1.Selection{Expression: "lable=3"}, "refused: expression: column 1: key lable is not known"},
		{admin, &fleetv1.Selection{Expression: " "}, "refused: expression: column 2: the expression is empty"},
		{lyon, &fleetv1.Selection{Expression: "online"}, "press-1"},
		{lyon, &fleetv1.Selection{Expression: "not name=press-1"}, "press-2"},
	} {
		if got := names(t, f, c.who, c.sel); got != c.want && (!strings.HasPrefix(c.want, "refused: ") || !strings.HasPrefix(got, c.want)) {
			t.Errorf("selection %v gives %q, want %q", c.sel, got, c.want)
		}
	}
	_, err := f.Select(t.Context(), admin, access.Act, &fleetv1.Selection{Expression: "site=="})
	if r := refusalOf(t, err, "BAD_EXPRESSION"); r.Field != "selection.expression" {
		t.Errorf("the fault is at field %q, want it at the expression", r.Field)
	}
}

// An expression that asks for another site's terminals is answered as one that asks for none that exist.
func TestNoOracleInExpressions(t *testing.T) {
	f := newFixture(t)
	f.enrol("lyon", "press-1")
	f.enrol("turin", "press-3")
	lyon := principal(fleetv1.OperatorRole_OPERATOR_ROLE_ADMIN, "lyon")
	for _, text := range []string{"site=%", "name=%", "site=% or name=%"} {
		ask := func(value string) string {
			return names(t, f, lyon, &fleetv1.Selection{Expression: strings.ReplaceAll(text, "%", value)})
		}
		missing := ask("nowhere")
		for _, value := range []string{"turin", "press-3"} {
			if there := ask(value); there != missing || !strings.Contains(there, "no terminal matches") {
				t.Errorf("%s gives %q for %s and %q for what is not there: they tell apart what exists", text, there, value, missing)
			}
		}
	}
	listed, _, err := f.Terminals(t.Context(), lyon, &fleetv1.Selection{Expression: "os=linux"}, inventory.Page{}, false)
	if err != nil || len(listed) != 1 || listed[0].GetTerminal().GetName() != "press-1" {
		t.Errorf("the list is %v, %v; want press-1 alone", listed, err)
	}
}

// A field that this server does not know can only narrow a selection. Left out, it would widen it.
func TestUnknownFieldsOfASelectionAreRefused(t *testing.T) {
	f := newFixture(t)
	f.enrol("lyon", "press-1")
	sel := &fleetv1.Selection{Sites: []string{"lyon"}}
	sel.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, 99, protowire.VarintType), 1))
	_, err := f.Select(t.Context(), admin, access.Act, sel)
	wantRefusal(t, err, "UNKNOWN_FIELD")
	_, _, err = f.Terminals(t.Context(), admin, sel, inventory.Page{}, false)
	wantRefusal(t, err, "UNKNOWN_FIELD")
}

func TestListByExpression(t *testing.T) {
	f := newFixture(t)
	f.enrol("lyon", "press-1")
	f.up[f.enrol("lyon", "press-2")] = true
	gone := f.enrol("lyon", "press-3")
	if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: gone}); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"online": "press-2", "!online": "press-1 press-3", "state=decommissioned": "press-3", "site=turin": "",
	} {
		listed, _, err := f.Terminals(t.Context(), admin, &fleetv1.Selection{Expression: text}, inventory.Page{}, true)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range listed {
			got = append(got, r.GetTerminal().GetName())
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s lists %v, want %s", text, got, want)
		}
	}
	_, _, err := f.Terminals(t.Context(), admin, &fleetv1.Selection{Expression: "("}, inventory.Page{}, false)
	wantRefusal(t, err, "BAD_EXPRESSION")
}

// The floor of a job counts those that stand beside its targets: all that are in service at the site, and nobody else.
func TestAtSite(t *testing.T) {
	f := newFixture(t)
	f.enrol("lyon", "press-1")
	gone := f.enrol("lyon", "press-2")
	f.enrol("turin", "press-3")
	if _, err := f.Decommission(t.Context(), admin, &fleetv1.DecommissionTerminalRequest{Terminal: gone}); err != nil {
		t.Fatal(err)
	}
	found, err := f.AtSite(t.Context(), "Lyon")
	if err != nil || len(found) != 1 || found[0].GetTerminal().GetName() != "press-1" {
		t.Errorf("at lyon there are %v (%v), want press-1 alone", found, err)
	}
}

// Who lists terminals would be shown more than is meant if these were left out.
func TestWhatOnlyAJobCanResolveIsRefused(t *testing.T) {
	f := newFixture(t)
	f.enrol("lyon", "line-1")
	for field, sel := range map[string]*fleetv1.Selection{
		"selection.from_job": {Sites: []string{"lyon"}, FromJob: &fleetv1.FromJob{JobId: "01HZY0000000000000000000AA"}},
		"selection.limit":    {Sites: []string{"lyon"}, Limit: &fleetv1.Amount{Amount: &fleetv1.Amount_Count{Count: 1}}},
	} {
		_, _, err := f.Terminals(t.Context(), admin, sel, inventory.Page{}, false)
		no := refusalOf(t, err, "ONLY_FOR_JOBS")
		if no.Field != field || no.Next == "" {
			t.Errorf("list: field %q, next step %q; want %s and a next step", no.Field, no.Next, field)
		}
		_, err = f.Select(t.Context(), admin, access.Act, sel)
		wantRefusal(t, err, "ONLY_FOR_JOBS")
	}
	_, err := f.Select(t.Context(), admin, access.Act, &fleetv1.Selection{Limit: &fleetv1.Amount{}})
	wantRefusal(t, err, "EMPTY_SELECTION")
}
