package inbound

// maxIdle bounds the goroutines that wait for work. What their stacks grew to is given
// back by the garbage collector when they have waited for a while.
const maxIdle = 1024

// begin works on a message, which is the first of all its lanes or has none, and on
// what waits for it. A goroutine that has done so before takes it if there is one: its
// stack has grown to what the steps need already, and growing a new one costs a good
// part of what a message does.
func (s *session) begin(e *entry) {
	select {
	case s.idle <- e:
	default:
		s.goroutines.Go(func() { s.serve(e) })
	}
}

// serve works on e, and then on what comes as long as the session takes messages in.
func (s *session) serve(e *entry) {
	for {
		s.workLane(e)
		e = nil
		if s.idlers.Add(1) > maxIdle || s.intake.Err() != nil {
			s.idlers.Add(-1)
			return
		}
		select {
		case e = <-s.idle:
			s.idlers.Add(-1)
		case <-s.intake.Done():
			s.idlers.Add(-1)
			return
		}
	}
}
