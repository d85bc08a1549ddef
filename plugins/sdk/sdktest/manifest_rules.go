package sdktest

import (
	"regexp"
	"slices"

	actionv1 "github.com/bandfleet/bandfleet/proto/action/v1"
	"github.com/bandfleet/bandfleet/proto/params"
)

// texts checks what only some types may have.
func (p *problems) texts(param *actionv1.Param) {
	name, kind := param.GetName(), param.GetType()
	text, secret := kind == actionv1.ParamType_PARAM_TYPE_STRING, kind == actionv1.ParamType_PARAM_TYPE_SECRET
	p.check((param.GetPattern() == "") == (param.GetPatternWords() == ""), "parameter %q: want a pattern and its words, or neither", name)
	p.check(param.GetPattern() == "" || text, "parameter %q has a pattern and is no string", name)
	_, err := regexp.Compile(param.GetPattern())
	p.check(err == nil, "parameter %q: pattern: %v", name, err)
	p.check(!secret || !param.GetList(), "parameter %q is a list of secrets", name)
	p.check(!secret || param.GetDefaultValue() == "", "parameter %q is a secret and has a default", name)
}

// kinds returns the types of an action's parameters that hold one value.
func kinds(a *actionv1.Action) map[string]actionv1.ParamType {
	kind := map[string]actionv1.ParamType{}
	for _, param := range a.GetParams() {
		if !param.GetList() {
			kind[param.GetName()] = param.GetType()
		}
	}
	return kind
}

// isBool says whether a name is empty or that of a boolean parameter.
func isBool(kind map[string]actionv1.ParamType, name string) bool {
	return name == "" || kind[name] == actionv1.ParamType_PARAM_TYPE_BOOL
}

func (p *problems) budgets(a *actionv1.Action) {
	kind := kinds(a)
	for i, r := range a.GetBudgetRules() {
		p.check(len(r.GetParams()) > 0, "budget rule %d adds nothing up", i+1)
		for _, name := range r.GetParams() {
			p.check(kind[name] == actionv1.ParamType_PARAM_TYPE_DURATION, "budget rule %d: %q is no duration parameter", i+1, name)
		}
		p.check(r.GetMax().AsDuration() > 0, "budget rule %d has no maximum", i+1)
		p.check(r.GetReason() != "", "budget rule %d has no reason", i+1)
		p.check(isBool(kind, r.GetUnless()), "budget rule %d: %q is no boolean parameter", i+1, r.GetUnless())
	}
}

func (p *problems) orders(a *actionv1.Action) {
	kind := kinds(a)
	ordered := []actionv1.ParamType{actionv1.ParamType_PARAM_TYPE_INTEGER, actionv1.ParamType_PARAM_TYPE_DURATION}
	for i, r := range a.GetOrderRules() {
		for _, name := range []string{r.GetLesser(), r.GetGreater()} {
			p.check(slices.Contains(ordered, kind[name]), "order rule %d: %q is no integer or duration parameter", i+1, name)
		}
		p.check(kind[r.GetLesser()] == kind[r.GetGreater()], "order rule %d compares a %v with a %v", i+1, kind[r.GetLesser()], kind[r.GetGreater()])
		p.check(r.GetLesser() != r.GetGreater(), "order rule %d compares %q with itself", i+1, r.GetLesser())
		p.check(isBool(kind, r.GetUnless()), "order rule %d: %q is no boolean parameter", i+1, r.GetUnless())
		p.check(r.GetReason() != "", "order rule %d has no reason", i+1)
	}
}

func (p *problems) whens(a *actionv1.Action) {
	kind := kinds(a)
	named := map[string]*actionv1.Param{}
	for _, param := range a.GetParams() {
		named[param.GetName()] = param
	}
	for i, r := range a.GetWhenRules() {
		p.check(r.GetRequires() != "" || r.GetNeeds() != "" || r.GetApprovals() > 0, "when rule %d asks for nothing", i+1)
		p.check(isBool(kind, r.GetRequires()), "when rule %d: %q is no boolean parameter", i+1, r.GetRequires())
		p.check(r.GetNeeds() == "" || named[r.GetNeeds()] != nil, "when rule %d: %q is no parameter", i+1, r.GetNeeds())
		p.check(r.GetApprovals() <= maxApprovals, "when rule %d asks for %d approvals, want at most %d", i+1, r.GetApprovals(), maxApprovals)
		p.check(r.GetReason() != "", "when rule %d has no reason", i+1)
		param := named[r.GetParam()]
		if p.check(param != nil, "when rule %d: %q is no parameter", i+1, r.GetParam()); param == nil {
			continue
		}
		canonical, err := params.Canonical(param, r.GetValue())
		p.check(err == nil && canonical == r.GetValue(), "when rule %d: value %q of %q is not canonical: %v", i+1, r.GetValue(), r.GetParam(), err)
	}
}
