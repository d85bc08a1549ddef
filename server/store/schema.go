package store

import (
	"encoding/binary"
	"strings"
)

// SchemaVersion is the version of everything drawn below. A file of another version is refused; server/upkeep migrates those of
// earlier releases. Whoever changes the drawing raises it once per release and writes the migration.
const SchemaVersion = 2

// The tables and the keys in them. A test fills a store through the domain packages and compares what it finds with this
// drawing. In keys, "·" is a zero byte, <name> a folded name or id, <ordinal> an id after its length in one byte (so that
// T-10000 follows T-9999), <be64> a big-endian number, <sha256> a hash in lower case hexadecimal. Values are protobuf
// messages of package storage.v1, or fleet.v1 where marked; "number" is a big-endian number; "-" is empty.
//
//	meta                <name>                        number                   version, epoch, terminals, administrators, restored, schedules, guided, notices
//	sites               <name>                        fleet.v1.Site            with its count of terminals in service
//	terminals           <ordinal>                     TerminalRecord           by terminal id
//	terminal-names      <name>                        fleet.v1.Terminal        folded name to id; only the id is set
//	terminal-sites      <name>·<ordinal>              -                        site, terminal id; also decommissioned ones
//	bands               <name>                        fleet.v1.Band            by folded serial
//	band-sites          <name>·<name>                 -                        site, folded serial
//	tokens              <name>                        TokenRecord              by token id
//	enrolments          <name>·<sha256>               fleet.v1.Terminal        token id, TLS key: what they enrolled; only the id
//	operators           <name>                        OperatorRecord           by name
//	plugins             <sha256>                      PluginRecord             manifests by the hash of the executable
//	requests            <name>·<name>·<name>          RequestRecord            operator, verb, request_id: what it created
//	request-times       <be64><name>·<name>·<name>    -                        the same by time in ns, for pruning
//	imports             <import>                      ImportRecord             by import id, which sorts by time
//	import-parts        <import><be32>                ImportPart               place; what is still to be carried out of an import
//	jobs                <job>                         JobRecord                by job id, which sorts by time of creation
//	jobs-active         <job>                         -                        jobs that are not done, and those being prepared
//	tasks               <job><be32>                   TaskRecord               place in the frozen order, which is by terminal id
//	permits             <job><be64>                   PermitBatch              tasks that may have run, of active jobs only
//	artifacts           <job>                         fleet.v1.Artifact        by artefact id, which sorts by time of creation
//	artifact-jobs       <job><job>                    -                        job, artefact id
//	artifact-terminals  <ordinal><job>                -                        terminal id, artefact id
//	artifact-files      <job><ordinal>·<name>·<sha256>  fleet.v1.Artifact      job, terminal, kind, hash: which artefact that is; only the id
//	secrets             <ordinal>·<name>              SecretRecord             terminal id, name of the secret
//	certificates        <ordinal>                     CertificatesRecord       terminal id: what its last scan found
//	certificate-ends    <be64><ordinal>               -                        the first end of those that it found, in s since 1970; terminal id
//	schedules           <name>                        ScheduleRecord           by name
//	schedule-runs       <name>·<be64>                 fleet.v1.ScheduleRun     schedule, its time in ns since 1970
//	guided              <guided>                      GuidedRecord             by id
//	guided-open         <name>·<name>·<name>          fleet.v1.GuidedTask      kind of what it is for, which, entry: the one that is open; only the id
//	guided-due          <be64><guided>                -                        when something is to be done about it, in s since 1970; id
//	guided-files        <guided>·<sha256>             GuidedFile               id, hash of the file
//	packs               <name>                        fleet.v1.Pack            packs of the catalogue by name
//	notices             <be64>                        fleet.v1.Notice          place, from 1; what is still to be told to receivers
//	notice-cursors      <name>                        number                   receiver: the place of the last notice that it is done with
//	routes              <name>                        fleet.v1.Route           by name
//	audit               <chain>·<be64>                AuditRecord              chain, sequence from 1
//	audit-heads         <chain>                       AuditHead                end of each chain
const (
	TableMeta          Table = "meta"
	TableSites         Table = "sites"
	TableTerminals     Table = "terminals"
	TableTerminalNames Table = "terminal-names"
	TableTerminalSites Table = "terminal-sites"
	TableBands         Table = "bands"
	TableBandSites     Table = "band-sites"
	TableTokens        Table = "tokens"
	TableEnrolments    Table = "enrolments"
	TableOperators     Table = "operators"
	TablePlugins       Table = "plugins"
	TableRequests      Table = "requests"
	TableRequestTimes  Table = "request-times"
	TableImports       Table = "imports"
	TableImportParts   Table = "import-parts"
	TableJobs          Table = "jobs"
	TableActiveJobs    Table = "jobs-active"
	TableTasks         Table = "tasks"
	TablePermits       Table = "permits"

	TableArtifacts         Table = "artifacts"
	TableArtifactJobs      Table = "artifact-jobs"
	TableArtifactTerminals Table = "artifact-terminals"
	TableArtifactFiles     Table = "artifact-files"

	TableSecrets         Table = "secrets"
	TableCertificates    Table = "certificates"
	TableCertificateEnds Table = "certificate-ends"
	TableSchedules       Table = "schedules"
	TableScheduleRuns    Table = "schedule-runs"
	TablePacks           Table = "packs"

	TableGuided      Table = "guided"
	TableGuidedOpen  Table = "guided-open"
	TableGuidedDue   Table = "guided-due"
	TableGuidedFiles Table = "guided-files"

	TableNotices       Table = "notices"
	TableNoticeCursors Table = "notice-cursors"
	TableRoutes        Table = "routes"

	TableAudit      Table = "audit"
	TableAuditHeads Table = "audit-heads"
)

// Tables returns every table, in the order of the drawing.
func Tables() []Table {
	return []Table{
		TableMeta, TableSites, TableTerminals, TableTerminalNames, TableTerminalSites, TableBands, TableBandSites,
		TableTokens, TableEnrolments, TableOperators, TablePlugins, TableRequests, TableRequestTimes,
		TableImports, TableImportParts, TableJobs, TableActiveJobs, TableTasks, TablePermits,
		TableArtifacts, TableArtifactJobs, TableArtifactTerminals, TableArtifactFiles,
		TableSecrets, TableCertificates, TableCertificateEnds, TableSchedules, TableScheduleRuns,
		TableGuided, TableGuidedOpen, TableGuidedDue, TableGuidedFiles,
		TablePacks,
		TableNotices, TableNoticeCursors, TableRoutes, TableAudit, TableAuditHeads,
	}
}

// separator ends a part of a key. No name holds it.
const separator = "\x00"

// Keys of TableMeta.
const (
	keyVersion = "version"
	keyEpoch   = "epoch"
	// KeyTerminals counts the terminal ids that were ever given.
	KeyTerminals = "terminals"
	// KeyAdministrators counts the operators who administer all sites and are not revoked.
	KeyAdministrators = "administrators"
	// KeyRestored is when the store was last restored from a backup, in ms since 1970; it is missing when it never was.
	KeyRestored = "restored"
	// KeySchedules counts the schedules that came with the server; it is there once they were made, so that one that was deleted stays so.
	KeySchedules = "schedules"
	// KeyGuided counts the ids of guided tasks that were ever given.
	KeyGuided = "guided"
	// KeyNotices is the place of the newest notice.
	KeyNotices = "notices"
)

// Key joins the parts of a key.
func Key(parts ...string) []byte { return []byte(strings.Join(parts, separator)) }

// Prefix is what all keys with these first parts begin with.
func Prefix(parts ...string) []byte { return append(Key(parts...), separator...) }

// Ordinal makes the part of a key for an id that ends in a number, so that keys sort as the numbers do.
func Ordinal(id string) string { return string(byte(min(len(id), 255))) + id }

// TerminalKey is the key of a terminal.
func TerminalKey(id string) []byte { return []byte(Ordinal(id)) }

// TerminalSiteKey is the key of a terminal under its site.
func TerminalSiteKey(site, id string) []byte { return Key(site, Ordinal(id)) }

// TerminalOfSiteKey reads the terminal's id out of a key of TableTerminalSites.
func TerminalOfSiteKey(key []byte) string {
	_, ordinal, _ := strings.Cut(string(key), separator)
	return ordinal[min(1, len(ordinal)):]
}

// RequestTimeKey is the key of a request under the time at which it was made, in nanoseconds since 1970.
func RequestTimeKey(at int64, request []byte) []byte { return append(Number(uint64(at)), request...) }

// AuditKey is the key of a link of an audit chain.
func AuditKey(chain string, sequence uint64) []byte {
	return append(Prefix(chain), Number(sequence)...)
}

// Number encodes a number so that it sorts as one.
func Number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// ParseNumber decodes what Number made; anything else is 0.
func ParseNumber(b []byte) uint64 {
	if len(b) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

// ImportKey is the key of an import, and what the keys of its parts begin with: their ids are of one width.
func ImportKey(id string) []byte { return []byte(id) }

// ImportPartKey is the key of a part of an import by its place.
func ImportPartKey(id string, place uint32) []byte {
	return binary.BigEndian.AppendUint32(ImportKey(id), place)
}

// ImportPartPlace reads the place out of a key of TableImportParts.
func ImportPartPlace(key []byte) uint32 {
	if len(key) < 4 {
		return 0
	}
	return binary.BigEndian.Uint32(key[len(key)-4:])
}

// JobKey is the key of a job, and what the keys of its tasks and permits begin with: job ids are of one width.
func JobKey(id string) []byte { return []byte(id) }

// TaskKey is the key of a task by its place in the job's frozen order.
func TaskKey(id string, index uint32) []byte { return binary.BigEndian.AppendUint32(JobKey(id), index) }

// PermitKey is the key of a batch of permits of a job.
func PermitKey(id string, sequence uint64) []byte { return append(JobKey(id), Number(sequence)...) }

// PermitSequence reads the sequence out of a key of TablePermits.
func PermitSequence(key []byte) uint64 { return ParseNumber(key[max(0, len(key)-8):]) }

// ArtifactKey is the key of an artefact, whose id has the width of a job's.
func ArtifactKey(id string) []byte { return []byte(id) }

// ArtifactJobKey is the key of an artefact under its job.
func ArtifactJobKey(job, id string) []byte { return []byte(job + id) }

// ArtifactTerminalKey is the key of an artefact under its terminal.
func ArtifactTerminalKey(terminal, id string) []byte { return []byte(Ordinal(terminal) + id) }

// ArtifactOfKey reads the artefact's id out of a key of TableArtifactJobs or TableArtifactTerminals.
func ArtifactOfKey(key []byte) string {
	const width = 26
	return string(key[max(0, len(key)-width):])
}

// ArtifactFileKey is the key under which the same file of the same task is found again.
func ArtifactFileKey(job, terminal, kind, sha256 string) []byte {
	return Key(job+Ordinal(terminal), kind, sha256)
}

// SecretKey is the key of a secret of a terminal.
func SecretKey(terminal, name string) []byte { return Key(Ordinal(terminal), name) }

// SecretPrefix is what the keys of all secrets of a terminal begin with.
func SecretPrefix(terminal string) []byte { return Prefix(Ordinal(terminal)) }

// CertificateEndKey is the key of a terminal under the first end of its certificates, in seconds since 1970.
func CertificateEndKey(end int64, terminal string) []byte {
	return append(Number(uint64(max(0, end))), Ordinal(terminal)...)
}

// TerminalOfEndKey reads the end and the terminal's id out of a key of TableCertificateEnds.
func TerminalOfEndKey(key []byte) (end int64, terminal string) {
	const width = 8
	if len(key) <= width {
		return 0, ""
	}
	return int64(ParseNumber(key[:width])), string(key[width+1:])
}

// ScheduleRunKey is the key of what came of a time of a schedule, in nanoseconds since 1970.
func ScheduleRunKey(name string, at int64) []byte { return append(Prefix(name), Number(uint64(at))...) }

// GuidedKey is the key of a guided task.
func GuidedKey(id string) []byte { return []byte(Ordinal(id)) }

// GuidedDueKey is the key of a guided task under the time at which something is to be done about it, in seconds since 1970.
func GuidedDueKey(at int64, id string) []byte {
	return append(Number(uint64(max(0, at))), Ordinal(id)...)
}

// GuidedOfDueKey reads the time and the id out of a key of TableGuidedDue.
func GuidedOfDueKey(key []byte) (at int64, id string) { return TerminalOfEndKey(key) }

// GuidedFileKey is the key of a file of a guided task.
func GuidedFileKey(id, sha256 string) []byte { return Key(Ordinal(id), sha256) }
