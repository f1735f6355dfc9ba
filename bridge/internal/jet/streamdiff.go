package jet

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// compareEvents lists every setting of the event stream that is not as wanted.
// Settings that do no harm (compression, placement, consumer limits, metadata, more
// subjects than the bridge's own) are not compared.
func compareEvents(have, want *jetstream.StreamConfig) []Difference {
	d := compareCommon(have, want)
	d.flag("allow_atomic", have.AllowAtomicPublish, true, "")
	d.flag("allow_msg_ttl", have.AllowMsgTTL, true, "")
	d.flag("allow_rollup_hdrs", have.AllowRollup, true, "")
	d.flag("deny_purge", have.DenyPurge, false, "it cannot be taken back, and checkpoints need it off: make the stream anew")
	d.flag("allow_msg_counter", have.AllowMsgCounter, false, "the stream takes counters only: use another stream")
	d.add("persist_mode", have.PersistMode.String(), jetstream.DefaultPersistMode.String(), have.PersistMode == jetstream.DefaultPersistMode,
		"atomic batches need the default, and it cannot be changed")
	d.add("subject_delete_marker_ttl", have.SubjectDeleteMarkerTTL.String(), "0s", have.SubjectDeleteMarkerTTL == 0, "")
	d.limit("max_msgs_per_subject", have.MaxMsgsPerSubject, want.MaxMsgsPerSubject, "lowering it deletes history")
	d.limit("max_bytes", have.MaxBytes, want.MaxBytes, "lowering it may delete messages")
	return d
}

// compareDead lists the same for the stream of dead letters, whose size and history
// belong to its operator.
func compareDead(have, want *jetstream.StreamConfig) []Difference { return compareCommon(have, want) }

type differences []Difference

// compareCommon lists what holds for every stream that must not forget.
func compareCommon(have, want *jetstream.StreamConfig) differences {
	var d differences
	var missing []string
	for _, s := range want.Subjects {
		if !slices.Contains(have.Subjects, s) {
			missing = append(missing, s)
		}
	}
	d.add("subjects", fmt.Sprint(have.Subjects), "also "+fmt.Sprint(missing), len(missing) == 0, "")
	d.add("retention", have.Retention.String(), want.Retention.String(), have.Retention == want.Retention,
		"messages disappear once consumers have them, and it cannot be changed")
	d.add("storage", have.Storage.String(), want.Storage.String(), have.Storage == want.Storage,
		"it does not outlive the server, and it cannot be changed")
	d.add("discard", have.Discard.String(), want.Discard.String(), have.Discard == want.Discard, "")
	d.flag("discard_new_per_subject", have.DiscardNewPerSubject, false, "")
	d.add("max_age", have.MaxAge.String(), "0s", have.MaxAge == 0, "")
	d.limit("max_msgs", have.MaxMsgs, -1, "")
	danger := ""
	if have.Replicas > want.Replicas {
		danger = "fewer replicas are less safe"
	}
	d.add("num_replicas", strconv.Itoa(have.Replicas), strconv.Itoa(want.Replicas), have.Replicas == want.Replicas, danger)
	d.flag("allow_direct", have.AllowDirect, true, "")
	d.flag("no_ack", have.NoAck, false, "")
	d.flag("sealed", have.Sealed, false, "it cannot be taken back: make the stream anew")
	d.flag("mirror", have.Mirror != nil, false, "a mirror cannot be published to: name the stream it copies")
	d.flag("sources", len(have.Sources) > 0, false, "foreign messages would stand among the bridge's own")
	d.flag("subject_transform", have.SubjectTransform != nil, false, "the bridge would not find its own messages again")
	return d
}

func (d *differences) add(setting, have, want string, equal bool, danger string) {
	if !equal {
		*d = append(*d, Difference{Setting: setting, Have: have, Want: want, Danger: danger})
	}
}

func (d *differences) flag(setting string, have, want bool, danger string) {
	d.add(setting, strconv.FormatBool(have), strconv.FormatBool(want), have == want, danger)
}

// limit compares two bounds of which 0 and below mean none. Only lowering is a danger.
func (d *differences) limit(setting string, have, want int64, lowering string) {
	have, want = max(have, -1), max(want, -1)
	if have == 0 {
		have = -1
	}
	if want == 0 {
		want = -1
	}
	if want == -1 || have != -1 && want > have {
		lowering = ""
	}
	d.add(setting, strconv.FormatInt(have, 10), strconv.FormatInt(want, 10), have == want, lowering)
}

// merge is have with the compared settings as wanted; all others stay as they are.
func merge(have, want jetstream.StreamConfig) jetstream.StreamConfig {
	for _, s := range want.Subjects {
		if !slices.Contains(have.Subjects, s) {
			have.Subjects = append(slices.Clone(have.Subjects), s)
		}
	}
	have.Discard = want.Discard
	have.DiscardNewPerSubject = false
	have.MaxAge = 0
	have.MaxMsgs = -1
	have.Replicas = want.Replicas
	have.AllowDirect = true
	have.NoAck = false
	have.AllowRollup = have.AllowRollup || want.AllowRollup
	if want.AllowAtomicPublish {
		have.AllowAtomicPublish = true
		have.AllowMsgTTL = true
		have.AllowRollup = true
		have.SubjectDeleteMarkerTTL = 0
		have.MaxMsgsPerSubject = want.MaxMsgsPerSubject
		have.MaxBytes = want.MaxBytes
	}
	return have
}
