package regevent

import (
	"encoding/xml"
	"strconv"
	"strings"
	"time"

	"reveille/internal/sipmsg"
	"reveille/purr"
	"reveille/usrloc"
)

// contentType is that of the documents (RFC 3680 §4.5).
const contentType = "application/reginfo+xml"

// GRUU makes temporary GRUUs; *purr.Keyring implements it.
type GRUU interface {
	// AppendTempGRUU appends another one for the device of b, a binding of user.
	AppendTempGRUU(dst []byte, user string, b *usrloc.Binding) []byte
}

// The elements and attributes of RFC 3680 §5.1, in the order of its schema, and
// those of RFC 5628 §5.
type (
	reginfo struct {
		XMLName      xml.Name     `xml:"urn:ietf:params:xml:ns:reginfo reginfo"`
		GRUU         string       `xml:"xmlns:gr,attr,omitempty"`
		Version      uint32       `xml:"version,attr"`
		State        string       `xml:"state,attr"`
		Registration registration `xml:"registration"`
	}
	registration struct {
		AOR      string           `xml:"aor,attr"`
		ID       string           `xml:"id,attr"`
		State    string           `xml:"state,attr"`
		Contacts []contactElement `xml:"contact"`
	}
	contactElement struct {
		ID       string         `xml:"id,attr"`
		State    string         `xml:"state,attr"`
		Event    string         `xml:"event,attr"`
		Duration uint64         `xml:"duration-registered,attr"`
		Expires  *uint64        `xml:"expires,attr"`
		Q        string         `xml:"q,attr,omitempty"`
		CallID   string         `xml:"callid,attr,omitempty"`
		CSeq     uint32         `xml:"cseq,attr"`
		URI      string         `xml:"uri"`
		Unknown  []unknownParam `xml:"unknown-param"`
		Public   *gruuElement   `xml:"gr:pub-gruu"`
		Temp     *gruuElement   `xml:"gr:temp-gruu"`
	}
	unknownParam struct {
		Name  string `xml:"name,attr"`
		Value string `xml:",chardata"`
	}
	gruuElement struct {
		URI       string  `xml:"uri,attr"`
		FirstCSeq *uint32 `xml:"first-cseq,attr"`
	}
)

// The namespace of RFC 5628.
const gruuNamespace = "urn:ietf:params:xml:ns:gruuinfo"

// A document is what one notification says.
type document struct {
	aor     usrloc.AOR
	version uint32
	// full: contacts are all there are, else those that changed.
	full bool
	// state is that of the registration: init, active or terminated.
	state    string
	contacts []*contact
	now      time.Time
	// gruu adds GRUUs; nil: nobody has any. own adds those that only the user himself
	// is to know (RFC 5627 §8.1: a temporary one hides who its user is).
	gruu GRUU
	own  bool
	// secrets are parameters that are concealed besides those of RFC 8599.
	secrets []string
}

// marshal returns the document as XML.
func (d *document) marshal() (string, error) {
	r := reginfo{Version: d.version, State: "partial", Registration: registration{AOR: string(d.aor), ID: "r", State: d.state}}
	if d.full {
		r.State = "full"
	}
	for _, c := range d.contacts {
		e := d.element(c)
		if e.Public != nil {
			r.GRUU = gruuNamespace
		}
		r.Registration.Contacts = append(r.Registration.Contacts, e)
	}
	b, err := xml.Marshal(r)
	return strings.TrimSpace(xml.Header) + string(b), err
}

// element is one contact.
func (d *document) element(c *contact) contactElement {
	b := c.binding
	e := contactElement{
		ID: c.id, State: stateActive, Event: c.event, Duration: seconds(d.now.Sub(b.Created)),
		CallID: b.CallID, CSeq: b.CSeq, URI: concealed(b, d.secrets), Unknown: params(b, d.secrets),
	}
	if b.Q >= 0 {
		e.Q = strconv.FormatFloat(float64(b.Q)/1000, 'f', -1, 64)
	}
	if !c.active {
		e.State = stateTerminated
		return e
	}
	left := seconds(b.Expires.Sub(d.now))
	e.Expires = &left
	if d.gruu == nil || b.Instance == "" {
		return e
	}
	// RFC 5627 §5.1: the public one is the AOR and the instance.
	e.Public = &gruuElement{URI: string(d.aor) + ";gr=" + sipmsg.EscapeParam(b.Instance)}
	_, address, _ := strings.Cut(string(d.aor), ":")
	user, host, _ := strings.Cut(address, "@")
	if d.own && len(user) <= purr.MaxGRUUUser {
		// RFC 5628 §5: the CSeq from which on those of this Call-ID are valid. Older
		// ones are too, but which we do not keep.
		first := b.CSeq
		e.Temp = &gruuElement{URI: "sip:" + string(d.gruu.AppendTempGRUU(nil, user, b)) + "@" + host + ";gr", FirstCSeq: &first}
	}
	return e
}

// seconds is d in whole seconds, 0 if it is negative.
func seconds(d time.Duration) uint64 { return uint64(max(d, 0) / time.Second) }

// concealed is a contact's URI for the eyes of others: without what says how the
// phone is woken, under whatever name (RFC 8599 §13), and without URI headers.
func concealed(b *usrloc.Binding, secrets []string) string {
	u, err := sipmsg.ParseURI(b.Contact)
	if err != nil || !u.IsSIP() {
		// Of other schemes we know no parameters: each may be a token.
		s, _, _ := strings.Cut(b.Contact, ";")
		s, _, _ = strings.Cut(s, "?")
		return s
	}
	names := append(append([]string{"pn-purr"}, secrets...), u.Telling(b.Push.PRID)...)
	s := u.WithoutPush(names)
	if u.Headers != "" {
		s, _, _ = strings.Cut(s, "?")
	}
	return s
}

// params are the parameters of the Contact header field that RFC 3261 does not know,
// as they were written, less what is not for others.
func params(b *usrloc.Binding, secrets []string) []unknownParam {
	var list []unknownParam
	for name, value := range sipmsg.Params(b.Params).WithoutPush(append([]string{"pn-purr", "pub-gruu", "temp-gruu"}, secrets...)).All() {
		if !sipmsg.HoldsToken(value, b.Push.PRID) {
			list = append(list, unknownParam{Name: name, Value: value})
		}
	}
	return list
}
