package access

import (
	"google.golang.org/protobuf/proto"

	fleetv1 "github.com/bandfleet/bandfleet/proto/fleet/v1"
)

// Peer is the kind of caller that an RPC is for.
type Peer int

// The kinds of callers.
const (
	// Anyone: also without a certificate.
	Anyone Peer = iota + 1
	// TokenHolder has no certificate yet; the call itself checks its token.
	TokenHolder
	// Agent is a terminal in service.
	Agent
	// Operator is a person.
	Operator
)

// Scope says at which sites an operator must hold the rule's right.
type Scope int

// The scopes.
const (
	// Own: any operator; the answer holds only what the caller may read.
	Own Scope = iota
	// Fleet: at all sites.
	Fleet
	// Every: at every site of the objects named by the request.
	Every
	// Some: at one site at least of the objects named by the request.
	Some
	// Inside: at some site at least; the domain checks each site that the call turns out to concern.
	Inside
)

// ObjectKind is a kind of object that a request can name.
type ObjectKind string

// The kinds of objects.
const (
	Site     ObjectKind = "site"
	Terminal ObjectKind = "terminal"
	Band     ObjectKind = "band"
	Token    ObjectKind = "token"
	Job      ObjectKind = "job"
	Artifact ObjectKind = "artifact"
	Schedule ObjectKind = "schedule"
	Fault    ObjectKind = "fault"
	Guided   ObjectKind = "guided task"
)

// Object is what a request names.
type Object struct {
	Kind ObjectKind
	Name string
	// Field is the path of the request's field that names it.
	Field string
}

// Rule says who may call an RPC.
type Rule struct {
	Peer  Peer
	Right Right
	Scope Scope
	// Objects reads what a request names; for the scopes Every and Some.
	Objects func(proto.Message) []Object
}

// Rules returns the table: full RPC name to who may call it. An RPC that is missing here is refused.
func Rules() map[string]Rule {
	return map[string]Rule{
		"/fleet.v1.InventoryService/CreateSite":           fleet(Admin),
		"/fleet.v1.InventoryService/GetSite":              on(Every, Read, (*fleetv1.GetSiteRequest).GetName, Site, "name"),
		"/fleet.v1.InventoryService/ListSites":            own(),
		"/fleet.v1.InventoryService/SetSite":              on(Every, Admin, (*fleetv1.SetSiteRequest).GetName, Site, "name"),
		"/fleet.v1.InventoryService/Import":               inside(Admin),
		"/fleet.v1.InventoryService/GetTerminal":          on(Every, Read, (*fleetv1.GetTerminalRequest).GetTerminal, Terminal, "terminal"),
		"/fleet.v1.InventoryService/ListTerminals":        own(),
		"/fleet.v1.InventoryService/LabelTerminal":        on(Every, Act, (*fleetv1.LabelTerminalRequest).GetTerminal, Terminal, "terminal"),
		"/fleet.v1.InventoryService/MoveTerminal":         {Peer: Operator, Right: Admin, Scope: Every, Objects: bothSites},
		"/fleet.v1.InventoryService/DecommissionTerminal": on(Every, Admin, (*fleetv1.DecommissionTerminalRequest).GetTerminal, Terminal, "terminal"),
		"/fleet.v1.InventoryService/ReleaseTerminal":      on(Every, Admin, (*fleetv1.ReleaseTerminalRequest).GetTerminal, Terminal, "terminal"),
		"/fleet.v1.InventoryService/ReEnrolTerminal":      on(Every, Admin, (*fleetv1.ReEnrolTerminalRequest).GetTerminal, Terminal, "terminal"),
		"/fleet.v1.InventoryService/CreateBand":           on(Every, Act, (*fleetv1.CreateBandRequest).GetSite, Site, "site"),
		"/fleet.v1.InventoryService/GetBand":              on(Every, Read, (*fleetv1.GetBandRequest).GetSerial, Band, "serial"),
		"/fleet.v1.InventoryService/ListBands":            own(),
		"/fleet.v1.InventoryService/SetBandStatus":        on(Every, Act, (*fleetv1.SetBandStatusRequest).GetSerial, Band, "serial"),
		"/fleet.v1.InventoryService/ReportBand":           on(Every, Act, (*fleetv1.ReportBandRequest).GetSerial, Band, "serial"),
		"/fleet.v1.InventoryService/ListActions":          own(),
		"/fleet.v1.InventoryService/GetAction":            own(),

		"/fleet.v1.AccessService/CreateToken":    on(Every, Admin, (*fleetv1.CreateTokenRequest).GetSite, Site, "site"),
		"/fleet.v1.AccessService/ListTokens":     inside(Admin),
		"/fleet.v1.AccessService/RevokeToken":    on(Every, Admin, (*fleetv1.RevokeTokenRequest).GetId, Token, "id"),
		"/fleet.v1.AccessService/CreateOperator": fleet(Admin),
		"/fleet.v1.AccessService/ListOperators":  fleet(Admin),
		"/fleet.v1.AccessService/RevokeOperator": fleet(Admin),
		"/fleet.v1.AccessService/RenewOperator":  own(),
		"/fleet.v1.AccessService/WhoAmI":         own(),

		"/fleet.v1.JobService/PreviewJob": inside(Act),
		"/fleet.v1.JobService/CreateJob":  inside(Act),
		"/fleet.v1.JobService/GetJob":     on(Some, Read, (*fleetv1.GetJobRequest).GetId, Job, "id"),
		"/fleet.v1.JobService/ListJobs":   own(),
		"/fleet.v1.JobService/ListTasks":  on(Some, Read, (*fleetv1.ListTasksRequest).GetJobId, Job, "job_id"),
		"/fleet.v1.JobService/WatchJob":   on(Some, Read, (*fleetv1.WatchJobRequest).GetId, Job, "id"),
		"/fleet.v1.JobService/CancelJob":  on(Every, Act, (*fleetv1.CancelJobRequest).GetId, Job, "id"),

		"/fleet.v1.JobService/PauseJob":    on(Every, Act, (*fleetv1.PauseJobRequest).GetId, Job, "id"),
		"/fleet.v1.JobService/ResumeJob":   on(Every, Act, (*fleetv1.ResumeJobRequest).GetId, Job, "id"),
		"/fleet.v1.JobService/RetryJob":    on(Some, Act, (*fleetv1.RetryJobRequest).GetId, Job, "id"),
		"/fleet.v1.JobService/ApproveJob":  on(Every, Approve, (*fleetv1.ApproveJobRequest).GetId, Job, "id"),
		"/fleet.v1.JobService/RejectJob":   on(Every, Approve, (*fleetv1.RejectJobRequest).GetId, Job, "id"),
		"/fleet.v1.JobService/ConfirmTask": on(Some, Act, (*fleetv1.ConfirmTaskRequest).GetJobId, Job, "job_id"),
		"/fleet.v1.JobService/GetOverview": own(),

		"/fleet.v1.ArtifactService/ListArtifacts":    own(),
		"/fleet.v1.ArtifactService/GetArtifact":      on(Every, Read, (*fleetv1.GetArtifactRequest).GetId, Artifact, "id"),
		"/fleet.v1.ArtifactService/DownloadArtifact": on(Every, Act, (*fleetv1.DownloadArtifactRequest).GetId, Artifact, "id"),

		"/fleet.v1.SecretService/GetSealingKey": on(Every, Act, (*fleetv1.GetSealingKeyRequest).GetTerminal, Terminal, "terminal"),
		"/fleet.v1.SecretService/PutSecret":     on(Every, Act, (*fleetv1.PutSecretRequest).GetTerminal, Terminal, "terminal"),
		"/fleet.v1.SecretService/ListSecrets":   own(),
		"/fleet.v1.SecretService/DeleteSecret":  on(Every, Act, (*fleetv1.DeleteSecretRequest).GetTerminal, Terminal, "terminal"),

		"/fleet.v1.CertificateService/ListCertificates": own(),
		"/fleet.v1.CertificateService/ListTrust":        own(),

		"/fleet.v1.ScheduleService/CreateSchedule":   inside(Act),
		"/fleet.v1.ScheduleService/GetSchedule":      on(Some, Read, (*fleetv1.GetScheduleRequest).GetName, Schedule, "name"),
		"/fleet.v1.ScheduleService/ListSchedules":    own(),
		"/fleet.v1.ScheduleService/PauseSchedule":    on(Every, Act, (*fleetv1.PauseScheduleRequest).GetName, Schedule, "name"),
		"/fleet.v1.ScheduleService/RunSchedule":      on(Every, Act, (*fleetv1.RunScheduleRequest).GetName, Schedule, "name"),
		"/fleet.v1.ScheduleService/DeleteSchedule":   on(Every, Act, (*fleetv1.DeleteScheduleRequest).GetName, Schedule, "name"),
		"/fleet.v1.ScheduleService/ListScheduleRuns": on(Some, Read, (*fleetv1.ListScheduleRunsRequest).GetName, Schedule, "name"),

		"/fleet.v1.FaultService/ListFaults":         own(),
		"/fleet.v1.FaultService/GetFault":           on(Every, Read, (*fleetv1.GetFaultRequest).GetId, Fault, "id"),
		"/fleet.v1.FaultService/WatchFaults":        own(),
		"/fleet.v1.FaultService/ReportFault":        on(Every, Act, (*fleetv1.ReportFaultRequest).GetTerminal, Terminal, "terminal"),
		"/fleet.v1.FaultService/AckFault":           on(Every, Act, (*fleetv1.AckFaultRequest).GetId, Fault, "id"),
		"/fleet.v1.FaultService/ResolveFault":       on(Every, Act, (*fleetv1.ResolveFaultRequest).GetId, Fault, "id"),
		"/fleet.v1.FaultService/AssignFault":        on(Every, Act, (*fleetv1.AssignFaultRequest).GetId, Fault, "id"),
		"/fleet.v1.FaultService/FixFault":           on(Every, Act, (*fleetv1.FixFaultRequest).GetId, Fault, "id"),
		"/fleet.v1.FaultService/ListIncidents":      own(),
		"/fleet.v1.FaultService/ListUnmatchedLines": own(),

		"/fleet.v1.PolicyService/SetPolicy":    inside(Admin),
		"/fleet.v1.PolicyService/GetPolicy":    own(),
		"/fleet.v1.PolicyService/ListPolicies": own(),
		"/fleet.v1.PolicyService/DeletePolicy": inside(Admin),
		"/fleet.v1.PolicyService/ListBreakers": own(),
		"/fleet.v1.PolicyService/ResetBreaker": on(Every, Act, (*fleetv1.ResetBreakerRequest).GetTerminal, Terminal, "terminal"),
		"/fleet.v1.PolicyService/Freeze":       inside(Act),
		"/fleet.v1.PolicyService/Unfreeze":     inside(Act),
		"/fleet.v1.PolicyService/ListFreezes":  own(),

		"/fleet.v1.GuidedService/CreateGuidedTask":   inside(Act),
		"/fleet.v1.GuidedService/ListGuidedTasks":    own(),
		"/fleet.v1.GuidedService/GetGuidedTask":      on(Every, Read, (*fleetv1.GetGuidedTaskRequest).GetId, Guided, "id"),
		"/fleet.v1.GuidedService/TakeGuidedTask":     on(Every, Act, (*fleetv1.TakeGuidedTaskRequest).GetId, Guided, "id"),
		"/fleet.v1.GuidedService/TickStep":           on(Every, Act, (*fleetv1.TickStepRequest).GetId, Guided, "id"),
		"/fleet.v1.GuidedService/NoteGuidedTask":     on(Every, Act, (*fleetv1.NoteGuidedTaskRequest).GetId, Guided, "id"),
		"/fleet.v1.GuidedService/EscalateGuidedTask": on(Every, Act, (*fleetv1.EscalateGuidedTaskRequest).GetId, Guided, "id"),
		"/fleet.v1.GuidedService/CloseGuidedTask":    on(Every, Act, (*fleetv1.CloseGuidedTaskRequest).GetId, Guided, "id"),
		"/fleet.v1.GuidedService/ReadAttachment":     on(Every, Act, (*fleetv1.ReadAttachmentRequest).GetId, Guided, "id"),

		"/fleet.v1.NotificationService/ListReceivers": own(),
		"/fleet.v1.NotificationService/SetRoute":      inside(Admin),
		"/fleet.v1.NotificationService/ListRoutes":    own(),
		"/fleet.v1.NotificationService/DeleteRoute":   inside(Admin),
		"/fleet.v1.NotificationService/TestReceiver":  fleet(Admin),

		"/fleet.v1.CatalogueService/GetCatalogue": own(),
		"/fleet.v1.CatalogueService/PublishPack":  fleet(Admin),
		"/fleet.v1.CatalogueService/RemovePack":   fleet(Admin),

		"/fleet.v1.MaintenanceService/Backup": fleet(Admin),

		"/agent.v1.EnrollmentService/Enroll": {Peer: TokenHolder},
		"/agent.v1.AgentService/Renew":       {Peer: Agent},
		"/agent.v1.AgentService/Connect":     {Peer: Agent},

		"/agent.v1.AgentService/UploadArtifact": {Peer: Agent},

		"/grpc.health.v1.Health/Check": {Peer: Anyone},
		"/grpc.health.v1.Health/List":  {Peer: Anyone},
		"/grpc.health.v1.Health/Watch": {Peer: Anyone},
	}
}

func own() Rule           { return Rule{Peer: Operator, Scope: Own} }
func fleet(r Right) Rule  { return Rule{Peer: Operator, Right: r, Scope: Fleet} }
func inside(r Right) Rule { return Rule{Peer: Operator, Right: r, Scope: Inside} }

// on is a rule for a request that names one object.
func on[M proto.Message](s Scope, r Right, name func(M) string, kind ObjectKind, field string) Rule {
	return Rule{Peer: Operator, Right: r, Scope: s, Objects: func(m proto.Message) []Object {
		request, ok := m.(M)
		if !ok {
			return nil
		}
		return []Object{{kind, name(request), field}}
	}}
}

// bothSites names the terminal, which stands for the site it is at, and the site it goes to.
func bothSites(m proto.Message) []Object {
	r, ok := m.(*fleetv1.MoveTerminalRequest)
	if !ok {
		return nil
	}
	return []Object{{Terminal, r.GetTerminal(), "terminal"}, {Site, r.GetSite(), "site"}}
}
