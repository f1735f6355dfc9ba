package sim

import "github.com/google/uuid"

// jobStatus is a status reason of asyncoperation. Source: entity reference.
type jobStatus int

const (
	jobWaiting   jobStatus = 0
	jobSucceeded jobStatus = 30
	jobFailed    jobStatus = 31
)

// asyncTable is the table of system jobs.
const asyncTable = "asyncoperation"

// asyncJob is one system job.
type asyncJob struct {
	id   uuid.UUID
	name string
	// step is the step that a webhook call belongs to, zero for other jobs.
	step uuid.UUID
}

// recordJob makes the record of a job and, unless it waits, ends it. Schemas
// without the table have no such records. That one cannot be written is said in
// the log only: the job itself has happened.
func (s *Server) recordJob(job asyncJob, status jobStatus, message string) {
	if s.catalogNow().byName[asyncTable] == nil {
		return
	}
	columns := map[string]any{"asyncoperationid": job.id.String(), "name": job.name}
	if _, found := s.Row(stepTable, job.step.String()); found {
		columns["owningextensionid@odata.bind"] = "/sdkmessageprocessingsteps(" + job.step.String() + ")"
	}
	if _, err := s.Insert(asyncTable, columns); err != nil {
		s.opts.Logger.Warn("system job not recorded", "error", err)
		return
	}
	if status != jobWaiting {
		s.endJob(job.id, status, message)
	}
}

// endJob notes how a recorded job ended.
func (s *Server) endJob(id uuid.UUID, status jobStatus, message string) {
	if s.catalogNow().byName[asyncTable] == nil {
		return
	}
	columns := map[string]any{"statecode": 3, "statuscode": int(status), "completedon": s.opts.Now().UTC().Format(dateTimeForm)}
	if message != "" {
		columns["message"], columns["friendlymessage"] = message, message
	}
	if err := s.Update(asyncTable, id.String(), columns); err != nil {
		s.opts.Logger.Warn("system job not recorded", "error", err)
	}
}
