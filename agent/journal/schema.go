package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"

	agentv1 "github.com/bandfleet/bandfleet/proto/agent/v1"
)

// The journal's file. Every value is sealed with a checksum over key and value (boltfile.SealFor); numbers in keys and values are big-endian.
//
//	meta/
//	  version       → uint32, the version of this drawing
//	  id            → text, made at random with the file
//	  epoch         → uint64, the greatest server epoch seen
//	  sequence      → uint64, one more with each write
//	  news          → uint64, the sequence of the latest news, 0 before the first
//	  sent          → uint64, the greatest sequence of news that may have been sent
//	  orders        → agent.v1.Orders, what the agent goes by; absent before the first
//	tasks/
//	  TASK          → storage.v1.JournalTask
//	open/
//	  TASK          → empty; the tasks whose result is not acknowledged yet
//	retired/
//	  TIME TASK     → empty; acknowledged tasks by the time of their acknowledgement (uint64, nanoseconds since 1970)
//	effects/
//	  TASK SEQUENCE → storage.v1.JournalEffect, in the order in which they were begun (uint32, from 1); kept until the result
//	obligations/
//	  RESOURCE      → storage.v1.Obligation
//	leases/
//	  LEASE         → storage.v1.JournalLease; what the agent puts back when its time is over, then the news of it, by its id
//	artifacts/
//	  FILE          → storage.v1.JournalArtifact; what waits in the spool, by its name there
//	news/
//	  NEWS          → agent.v1.News, until the server has it, by its sequence (uint64)
//	faults/
//	  FAULT         → agent.v1.FaultReport; what was opened and is not gone, by entry and subject
//	breakers/
//	  BREAKER       → storage.v1.JournalBreaker; attempts that count, by entry, subject and action
//
// FAULT and BREAKER are texts with their lengths before them. TASK is the job's id, a zero byte and the attempt (uint32).
var (
	bucketMeta        = []byte("meta")
	bucketTasks       = []byte("tasks")
	bucketOpen        = []byte("open")
	bucketRetired     = []byte("retired")
	bucketEffects     = []byte("effects")
	bucketObligations = []byte("obligations")
	bucketArtifacts   = []byte("artifacts")
	bucketLeases      = []byte("leases")
	bucketNews        = []byte("news")
	bucketFaults      = []byte("faults")
	bucketBreakers    = []byte("breakers")

	keyVersion = []byte("version")
	keyID      = []byte("id")
	keyEpoch   = []byte("epoch")
	// keySequence tells an older copy of the file from the file.
	keySequence = []byte("sequence")
	keyNews     = []byte("news")
	keySent     = []byte("sent")
	keyOrders   = []byte("orders")
)

// schemaVersion is the version of the drawing above. A file of an earlier version is brought to it when it is opened (upgrade.go);
// one of a later version is refused, untouched.
const schemaVersion = 3

// maxJobID is the longest job id that a key may hold, in bytes.
const maxJobID = 128

func allBuckets() [][]byte {
	return [][]byte{
		bucketMeta, bucketTasks, bucketOpen, bucketRetired, bucketEffects, bucketObligations, bucketArtifacts, bucketLeases,
		bucketNews, bucketFaults, bucketBreakers,
	}
}

// taskKey makes the key of one attempt. It refuses what could be mistaken for another key.
func taskKey(k *agentv1.TaskKey) ([]byte, error) {
	id := k.GetJobId()
	if id == "" || len(id) > maxJobID || bytes.IndexByte([]byte(id), 0) >= 0 {
		return nil, fmt.Errorf("task %q: the job id must be 1 to %d bytes without a zero byte", nameOf(k), maxJobID)
	}
	key := append([]byte(id), 0)
	return binary.BigEndian.AppendUint32(key, k.GetAttempt()), nil
}

// effectKey makes the key of one effect of a task.
func effectKey(task []byte, sequence uint32) []byte {
	return binary.BigEndian.AppendUint32(bytes.Clone(task), sequence)
}

// textKey makes a key of texts that no other texts have.
func textKey(texts ...string) []byte {
	var key []byte
	for _, t := range texts {
		key = binary.AppendUvarint(key, uint64(len(t)))
		key = append(key, t...)
	}
	return key
}

// retiredKey makes the key under which an acknowledged task waits to be forgotten.
func retiredKey(nanos int64, task []byte) []byte {
	return append(binary.BigEndian.AppendUint64(nil, uint64(nanos)), task...)
}

// nameOf is how an attempt is called in messages: "j-17/2".
func nameOf(k *agentv1.TaskKey) string {
	return fmt.Sprintf("%.*s/%d", maxJobID, k.GetJobId(), k.GetAttempt())
}
