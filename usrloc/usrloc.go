// Package usrloc is the location service: which devices an address of record
// (AOR) can be reached at right now (RFC 3261 §10).
//
// It holds values and the contract of the Store that keeps them; Memory is the
// Store of a single node. It knows nothing of SIP messages and applies no
// registration rules: package registrar decides what a REGISTER does to a
// Record, package usrloc makes it atomic, visible and (with usrloc/disk)
// durable.
package usrloc

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"reveille/flow"
)

// AOR is an address of record in canonical form: scheme, user and host, without
// parameters, port or escapes that need none, host in lower case (RFC 3261
// §10.3 step 5). Example: "sip:alice@example.com". Two AORs are the same user
// exactly if they are the same string.
type AOR string

// A BindingID names one device's binding for as long as the device keeps coming
// back, whatever its address, port, Call-ID or push token. The first two bytes
// are Partition of its AOR, the other fourteen are random. It is no secret, but
// nothing sent to others carries it in the clear: package purr seals it.
type BindingID [16]byte

// NewBindingID returns a fresh identity for a binding of aor, with random bytes
// from rand (crypto/rand.Reader outside tests).
func NewBindingID(aor AOR, rand io.Reader) (BindingID, error) {
	var id BindingID
	if _, err := io.ReadFull(rand, id[2:]); err != nil {
		return BindingID{}, fmt.Errorf("draw binding id: %w", err)
	}
	p := Partition(aor)
	id[0], id[1] = byte(p>>8), byte(p)
	return id, nil
}

// Partition returns the 16-bit partition of aor: the same on every node and in
// every run (FNV-1a, folded).
func Partition(aor AOR) uint16 {
	h := uint32(2166136261)
	for i := range len(aor) {
		h = (h ^ uint32(aor[i])) * 16777619
	}
	return uint16(h>>16) ^ uint16(h)
}

// IsZero reports whether id names no binding.
func (id BindingID) IsZero() bool { return id == BindingID{} }

// Partition returns the partition of the AOR that the binding belongs to.
func (id BindingID) Partition() uint16 { return uint16(id[0])<<8 | uint16(id[1]) }

// String returns id as 32 hexadecimal digits.
func (id BindingID) String() string { return hex.EncodeToString(id[:]) }

// ParseBindingID reads the form that String writes.
func ParseBindingID(s string) (BindingID, error) {
	var id BindingID
	if len(s) != 2*len(id) {
		return BindingID{}, fmt.Errorf("parse binding id: %d characters, want %d", len(s), 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return BindingID{}, fmt.Errorf("parse binding id: %w", err)
	}
	return id, nil
}

// Q is a contact's preference in thousandths, 0 to 1000 (RFC 3261 §20.10), or
// QUnset.
type Q int16

// QUnset is the preference of a contact that named none.
const QUnset Q = -1

// Push is what a device said about how to wake it (RFC 8599 §4.1). All values
// are percent-decoded exactly once; case is kept. The zero Push means that the
// binding cannot be woken.
type Push struct {
	// Provider is pn-provider, e.g. "apns", "fcm", "webpush".
	Provider string
	// Param is pn-param; its meaning belongs to the provider.
	Param string
	// PRID is pn-prid, the device's token or push address. It is a secret of
	// the device: never show it to other users and never log it whole. Empty
	// with a Provider set: the push service said that the token is dead, and
	// the device can be reached only while its flow lives.
	PRID string
	// SelfWaking: the Contact carried +sip.pnsreg, so the device can wake
	// itself to refresh (RFC 8599 §4.1.4).
	SelfWaking bool
}

// IsZero reports whether there is nothing to push to.
func (p Push) IsZero() bool { return p.PRID == "" }

// LogValue keeps the PRID out of logs.
func (p Push) LogValue() slog.Value {
	return slog.GroupValue(slog.String("provider", p.Provider), slog.String("param", p.Param), slog.String("prid", Redact(p.PRID)))
}

// Redact returns the form in which a PRID may be logged: its length and 16 bits
// of a hash, enough to see that two lines speak of the same token.
func Redact(prid string) string {
	if prid == "" {
		return ""
	}
	return fmt.Sprintf("<redacted %d bytes #%04x>", len(prid), Partition(AOR(prid)))
}

// A Binding is one device of an AOR: where it was last seen, until when it
// counts, and how to wake it. Bindings are values; a Binding obtained from a
// Record must not be changed through its slices.
type Binding struct {
	// ID stays the same as long as the device keeps coming back.
	ID BindingID
	// Contact is the Contact URI as registered, byte for byte, without angle
	// brackets: URI parameters (pn-* too) and URI headers included.
	Contact string
	// Params are the Contact header parameters as received, starting with ';',
	// without q and expires. Empty if there were none.
	Params string
	// Q is the contact's preference.
	Q Q
	// CallID and CSeq are those of the REGISTER that last touched the binding.
	CallID string
	CSeq   uint32
	// Created is when the device first registered, Updated when its last
	// REGISTER was accepted.
	Created, Updated time.Time
	// Expires is when the registration ends.
	Expires time.Time
	// RetainUntil is when the binding is forgotten: Expires, or later for a
	// dormant device. Never before Expires.
	RetainUntil time.Time
	// RefreshAt is when the device should be woken to refresh (RFC 8599 §5.5), or
	// Expires if it cannot be and is kept until RetainUntil; zero if it need not be.
	RefreshAt time.Time
	// Flow is the flow on which the last REGISTER arrived. It may be dead.
	Flow flow.Flow
	// Path holds the Path values of the REGISTER, topmost first (RFC 3327).
	Path []string
	// Received is where the phone is as the proxy that wrote the topmost Path
	// value saw it: a SIP URI, from that value's received parameter. Empty if
	// nobody said, or nobody wants to know.
	Received string
	// UserAgent is the REGISTER's User-Agent, cut to 128 bytes.
	UserAgent string
	// Methods are those of the REGISTER's Allow.
	Methods Methods
	// Instance is +sip.instance without quotes and angle brackets; RegID is
	// reg-id, 0 if absent (RFC 5626 §4.1).
	Instance string
	RegID    uint32
	// GRUUSet is the number of the device's set of temporary GRUUs; those of other
	// sets are over (RFC 5627 §5.1). All bindings of an Instance have the same: a
	// REGISTER of one of them changes the others, and nobody is told of that. 0 for
	// a binding without an Instance, and for one that is as old as the field.
	GRUUSet uint64
	// Attributes is what others say of the device, for others to read: a JSON object
	// of strings in its shortest form, names in order; empty if there is nothing.
	Attributes string
	// Push is the binding's push data.
	Push Push
}

// Expired reports whether the registration has ended at now.
func (b *Binding) Expired(now time.Time) bool { return !now.Before(b.Expires) }

// Static reports whether b was added by hand: no REGISTER made it, so that nothing is
// known of its phone but where its Contact says that it is.
func (b *Binding) Static() bool { return b.CallID == "" && b.Flow.IsZero() }

// SameInstance reports whether a and b, each the Instance of a Binding or "", name
// one device. RFC 4122 §3: the digits of a UUID may be in either case.
func SameInstance(a, b string) bool {
	const uuid = "urn:uuid:"
	if len(a) > len(uuid) && strings.EqualFold(a[:len(uuid)], uuid) {
		return strings.EqualFold(a, b)
	}
	return a != "" && a == b
}

// A Cause says who changed a Record. It is not stored.
type Cause uint8

// The causes of a change.
const (
	CauseRegister   Cause = iota // a REGISTER of the device
	CauseExpiry                  // the time ran out
	CauseOperator                // an API call or command
	CauseDeadToken               // the push service said that the token is gone
	CauseFlow                    // its connection or flow ended
	CauseOtherNode               // learned from another node
	CauseTokenMoved              // its push token belongs to another user now
)

var causeNames = [...]string{"register", "expiry", "operator", "dead_token", "flow", "other_node", "token_moved"}

func (c Cause) String() string {
	if int(c) < len(causeNames) {
		return causeNames[c]
	}
	return "unknown"
}

// A Record is all bindings of one AOR at one version. Records are immutable:
// readers share them, a change makes a new one.
type Record struct {
	AOR AOR
	// Version grows with every change of the AOR; 0 for an AOR without bindings
	// that was never stored. It may start again after the last binding is gone.
	Version uint64
	// Bindings in the order in which the devices first registered.
	Bindings []Binding
	// Cause is set by an Update function to say why it changes the Record. It
	// is handed on in each Change and not stored.
	Cause Cause
}

// Find returns the binding with the given ID, or nil.
func (r *Record) Find(id BindingID) *Binding {
	for i := range r.Bindings {
		if r.Bindings[i].ID == id {
			return &r.Bindings[i]
		}
	}
	return nil
}

// ChangeKind says what happened to one binding.
type ChangeKind uint8

// The kinds of change.
const (
	// Created: the binding is new.
	Created ChangeKind = iota + 1
	// Updated: the device registered again, from wherever it is now.
	Updated
	// Removed: the device, an operator or the server took it away.
	Removed
	// Expired: nobody refreshed it in time.
	Expired
)

var changeNames = [...]string{Created: "created", Updated: "updated", Removed: "removed", Expired: "expired"}

func (k ChangeKind) String() string {
	if k >= Created && k <= Expired {
		return changeNames[k]
	}
	return "unknown"
}

// A Change is what one commit did to one binding. It is published after the
// commit, whatever its cause.
type Change struct {
	Kind  ChangeKind
	Cause Cause
	AOR   AOR
	// Version is the Record's version after the change.
	Version uint64
	// Old is nil when Created, New is nil when Removed or Expired. They are
	// shared and must not be changed.
	Old, New *Binding
}

// silent reports whether a change has to be stored, but concerns nobody: the
// device did not speak, and is where it was.
func (c *Change) silent() bool {
	if c.Kind != Updated || c.Old.GRUUSet == c.New.GRUUSet {
		return false
	}
	old := *c.Old
	old.GRUUSet = c.New.GRUUSet
	return old.equal(c.New)
}

// Errors of a Store. Others may come wrapped around a back end's cause.
var (
	// ErrNotFound: Resolve knows no such binding.
	ErrNotFound = errors.New("usrloc: no such binding")
	// ErrUnavailable: the back end cannot say or commit now. It never means
	// "not registered".
	ErrUnavailable = errors.New("usrloc: store unavailable")
	// ErrFull: the store holds as many bindings, watches or pending commits as
	// it may.
	ErrFull = errors.New("usrloc: store full")
	// ErrForeignID: an Update's result held a BindingID that was not made for
	// its AOR, that another binding has, or the same one twice.
	ErrForeignID = errors.New("usrloc: binding id of another binding")
	// ErrCursor: the place in the list is none of this store.
	ErrCursor = errors.New("usrloc: no place in this store")
	// ErrClosed: the store was closed.
	ErrClosed = errors.New("usrloc: store closed")
)
