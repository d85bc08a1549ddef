package access_test

import (
	"fmt"
	"slices"
	"testing"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
	"github.com/bandfleet/bandfleet/server/access"
)

// methods returns every RPC that the server may serve.
func methods() map[string]protoreflect.MethodDescriptor {
	out := map[string]protoreflect.MethodDescriptor{}
	for _, file := range []protoreflect.FileDescriptor{
		fleetv1.File_fleet_v1_inventory_proto, fleetv1.File_fleet_v1_access_proto, fleetv1.File_fleet_v1_job_proto,
		fleetv1.File_fleet_v1_maintenance_proto, fleetv1.File_fleet_v1_artifact_proto, fleetv1.File_fleet_v1_secret_proto,
		fleetv1.File_fleet_v1_certificate_proto, fleetv1.File_fleet_v1_schedule_proto, fleetv1.File_fleet_v1_fault_proto,
		fleetv1.File_fleet_v1_policy_proto, fleetv1.File_fleet_v1_guided_proto, fleetv1.File_fleet_v1_notification_proto, fleetv1.File_fleet_v1_catalogue_proto,
		agentv1.File_agent_v1_agent_proto, healthv1.File_grpc_health_v1_health_proto,
	} {
		for s := range file.Services().Len() {
			service := file.Services().Get(s)
			for m := range service.Methods().Len() {
				method := service.Methods().Get(m)
				out[fmt.Sprintf("/%s/%s", service.FullName(), method.Name())] = method
			}
		}
	}
	return out
}

func TestEveryRPCHasARule(t *testing.T) {
	rules, served := access.Rules(), methods()
	for name := range served {
		if _, ok := rules[name]; !ok {
			t.Errorf("%s has no rule: nobody can call it. Add it to Rules in rules.go", name)
		}
	}
	for name := range rules {
		if served[name] == nil {
			t.Errorf("the rule of %s is for an RPC that does not exist", name)
		}
	}
}

// What can be reached without a client certificate is enumerated here, so that nothing joins it by accident.
func TestOnlyEnrolmentAndHealthNeedNoCertificate(t *testing.T) {
	want := []string{
		"/agent.v1.EnrollmentService/Enroll", "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/List", "/grpc.health.v1.Health/Watch",
	}
	var got []string
	for name, rule := range access.Rules() {
		if rule.Peer != access.Agent && rule.Peer != access.Operator {
			got = append(got, name)
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("reachable without certificate: %v, want %v", got, want)
	}
}

// A rule that reads the wrong field would authorise for nothing.
func TestRulesReadTheirRequests(t *testing.T) {
	served := methods()
	for name, rule := range access.Rules() {
		if wantsObjects := rule.Scope == access.Every || rule.Scope == access.Some; rule.Peer != access.Operator || !wantsObjects {
			if rule.Objects != nil {
				t.Errorf("%s: its rule reads objects that nobody looks at", name)
			}
			continue
		}
		request := filled(t, served[name].Input())
		objects := rule.Objects(request)
		if len(objects) == 0 {
			t.Errorf("%s: its rule does not read a %s", name, served[name].Input().FullName())
		}
		for _, o := range objects {
			if o.Name == "" || o.Name != "value of "+o.Field {
				t.Errorf("%s: reads %q as field %q of %s", name, o.Name, o.Field, served[name].Input().FullName())
			}
		}
		if rule.Right == 0 {
			t.Errorf("%s: no right is asked for", name)
		}
		if rule.Objects(&fleetv1.Site{}) != nil {
			t.Errorf("%s: reads a message of another type", name)
		}
	}
}

// filled returns a message whose string fields say their own names.
func filled(t *testing.T, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	m := kind.New()
	for i := range d.Fields().Len() {
		if f := d.Fields().Get(i); f.Kind() == protoreflect.StringKind && !f.IsList() && !f.IsMap() {
			m.Set(f, protoreflect.ValueOfString("value of "+string(f.Name())))
		}
	}
	return m.Interface()
}
