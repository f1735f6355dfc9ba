package sim

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"cebridge/schema"

	"github.com/google/uuid"
)

// defaultKeyJobDelay is how long the index job of a key takes.
const defaultKeyJobDelay = 200 * time.Millisecond

// keyJobs are the system jobs that build the indexes of alternate keys. A key is
// Pending for the first half of Options.KeyJobDelay, InProgress for the second,
// and then Active (with a negative delay: before the request that began the job is
// answered); or Failed, without any other sign, when records share a value
// (seen in the field: documentation issue on alternate keys). Each job is a
// record of asyncoperations, if the schema has that table.
type keyJobs struct {
	mu     sync.Mutex
	byKey  map[string]*keyJob
	closed bool
}

// keyJob is the latest job of one key.
type keyJob struct {
	id    uuid.UUID
	timer *time.Timer // nil while the job waits for nothing
}

// stop keeps a job that waits from going on.
func (k *keyJob) stop() {
	if k != nil && k.timer != nil {
		k.timer.Stop()
	}
}

func keyJobName(table, key string) string { return table + "/" + key }

// start begins the job of a key that is Pending; without a delay it ends it too.
func (j *keyJobs) start(s *Server, table, key string) {
	job := &keyJob{id: s.newGUID()}
	s.recordJob(asyncJob{id: job.id, name: "Create index for " + key + " for table " + table}, jobWaiting, "")
	half := s.opts.KeyJobDelay / 2
	if !j.replace(table, key, job) {
		return
	}
	if half <= 0 {
		j.build(s, table, key, job)
		j.finish(s, table, key, job)
		return
	}
	j.after(table, key, job, half, func() {
		if j.build(s, table, key, job) {
			j.after(table, key, job, half, func() { j.finish(s, table, key, job) })
		}
	})
}

// replace makes job the one that decides about the key; false when all jobs ended.
func (j *keyJobs) replace(table, key string, job *keyJob) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return false
	}
	if j.byKey == nil {
		j.byKey = map[string]*keyJob{}
	}
	j.byKey[keyJobName(table, key)].stop()
	j.byKey[keyJobName(table, key)] = job
	return true
}

// after lets the job go on after a while, if it is still the one that decides.
func (j *keyJobs) after(table, key string, job *keyJob, d time.Duration, next func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.byKey[keyJobName(table, key)] == job && !j.closed {
		job.timer = time.AfterFunc(d, next)
	}
}

// build moves the key from Pending to InProgress; false when the job does not
// decide about it any more.
func (j *keyJobs) build(s *Server, table, key string, job *keyJob) bool {
	return j.current(table, key, job) && s.setKeyStatus(table, key, schema.KeyPending, schema.KeyInProgress)
}

// resume starts the jobs of keys that were made over the API and whose jobs had
// not ended when the server was stopped. A key that the schema gave a status keeps it.
func (j *keyJobs) resume(s *Server, given []*schema.Table) {
	known := schema.NewCatalog(given...)
	for _, t := range s.catalog() {
		for i := range t.Keys {
			k := &t.Keys[i]
			if g := known[t.LogicalName]; g != nil && slices.ContainsFunc(g.Keys, func(own schema.AlternateKey) bool { return own.LogicalName == k.LogicalName }) {
				continue
			}
			if k.Status == schema.KeyPending || k.Status == schema.KeyInProgress && s.setKeyStatus(t.LogicalName, k.LogicalName, schema.KeyInProgress, schema.KeyPending) {
				j.start(s, t.LogicalName, k.LogicalName)
			}
		}
	}
}

// finish builds the index.
func (j *keyJobs) finish(s *Server, table, key string, job *keyJob) {
	if !j.current(table, key, job) {
		return
	}
	err := s.AlterTable(table, false, func(t *schema.Table) error {
		return changeStatus(t, key, schema.KeyInProgress, schema.KeyActive)
	})
	if err == nil {
		s.endJob(job.id, jobSucceeded, "")
		return
	}
	s.endJob(job.id, jobFailed, err.Error()) // first: who sees the status finds its cause
	s.setKeyStatus(table, key, schema.KeyInProgress, schema.KeyFailed)
}

// current tells whether job is still the one that decides about the key.
func (j *keyJobs) current(table, key string, job *keyJob) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.closed && j.byKey[keyJobName(table, key)] == job
}

// id is the latest job of a key, if it had one.
func (j *keyJobs) id(table, key string) (uuid.UUID, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if job := j.byKey[keyJobName(table, key)]; job != nil {
		return job.id, true
	}
	return uuid.UUID{}, false
}

// drop forgets the job of a key that is deleted.
func (j *keyJobs) drop(table, key string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.byKey[keyJobName(table, key)].stop()
	delete(j.byKey, keyJobName(table, key))
}

// close ends all jobs where they are.
func (j *keyJobs) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.closed = true
	for _, job := range j.byKey {
		job.stop()
	}
}

// setKeyStatus moves a key from one status to another that makes no index; false
// when it is not in the first any more.
func (s *Server) setKeyStatus(table, key string, from, to schema.KeyStatus) bool {
	return s.AlterTable(table, false, func(t *schema.Table) error { return changeStatus(t, key, from, to) }) == nil
}

func changeStatus(t *schema.Table, key string, from, to schema.KeyStatus) error {
	for i := range t.Keys {
		if t.Keys[i].LogicalName == key && t.Keys[i].Status == from {
			t.Keys[i].Status = to
			return nil
		}
	}
	return fmt.Errorf("simulator: table %s: no key %s that is %s", t.LogicalName, key, from)
}
