package sipmsg

import (
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

func TestMessage_Request(t *testing.T) {
	m := mustParse(t, withBody("Hi",
		"REGISTER sips:lab.test:5061;transport=tcp SIP/2.0",
		"v: SIP / 2.0 / TCP [2001:db8::1] : 5070 ;branch=z9hG4bK1, SIP/2.0/WS x.invalid;branch=z9hG4bK2",
		"Max-Forwards: 0070",
		"f: \"N \\\"x\\\"\" <sip:nina@lab.test;a=%41>;tag=q1",
		"t: sip:nina@lab.test",
		"i: a84b",
		"CSeq: 007 REGISTER",
		"Route: \"R\" <sip:r.test;lr>;hp=1, <sip:s.test;lr>",
		"m: <sip:nina@h;pn-prid=a:b+c/d==;ob>;+sip.instance=\"<urn:uuid:1>\" ; expires = 60, sip:n@b;q=1",
		"c: text/plain",
		"k: path",
		"X-Other: a",
		"  b"))
	req, err := m.Request()
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "Method", req.Method, sip.REGISTER)
	eq(t, "Recipient", req.Recipient.String(), "sips:lab.test:5061;transport=tcp")
	eq(t, "Via", req.Via().Value(), "SIP/2.0/TCP [2001:db8::1]:5070;branch=z9hG4bK1")
	eq(t, "len(Via)", len(req.GetHeaders("Via")), 2)
	eq(t, "From", req.From().Value(), `"N \"x\"" <sip:nina@lab.test;a=%41>;tag=q1`)
	eq(t, "To", req.To().Value(), "<sip:nina@lab.test>")
	eq(t, "CallID", req.CallID().Value(), "a84b")
	eq(t, "CSeq", req.CSeq().Value(), "7 REGISTER")
	eq(t, "MaxForwards", req.MaxForwards().Val(), 70)
	eq(t, "ContentType", req.ContentType().Value(), "text/plain")
	eq(t, "Body", string(req.Body()), "Hi")
	eq(t, "ContentLength", req.ContentLength().Value(), "2")
	eq(t, "Source", req.Source(), testSource.String())
	contacts := req.GetHeaders("Contact")
	if len(contacts) != 2 {
		t.Fatalf("%d Contact header fields, want 2", len(contacts))
	}
	eq(t, "Contact", contacts[0].Value(), `<sip:nina@h;pn-prid=a:b+c/d==;ob>;+sip.instance="<urn:uuid:1>";expires=60`)
	eq(t, "Contact without brackets", contacts[1].Value(), "<sip:n@b>;q=1")
	eq(t, "Supported", req.GetHeader("Supported").Value(), "path")
	eq(t, "X-Other", req.GetHeader("X-Other").Value(), "a b")

	back, err := FromRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "back Raw has Route", strings.Contains(back.Raw(), "Route: \"R\" <sip:r.test;lr>;hp=1, <sip:s.test;lr>\r\n"), true)
	eq(t, "back Source", back.Source(), testSource)
	eq(t, "back URI", back.RequestURI().Equal(m.RequestURI()), true)
	eq(t, "back Contact", back.Contacts()[0].URI, m.Contacts()[0].URI)
	eq(t, "back Body", back.Body(), m.Body())
	if _, err := m.Response(); err != ErrNotResponse {
		t.Errorf("Response() = %v, want ErrNotResponse", err)
	}
}

func TestMessage_Request_Odd(t *testing.T) {
	m := mustParse(t, plain("REGISTER", "urn:service:sos?x=1", "Contact: *", "To: <tel:+49;ext=1>"))
	req, err := m.Request()
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "Recipient", req.Recipient.String(), "urn:service:sos?x=1")
	eq(t, "Contact", req.Contact().Value(), "*")
	eq(t, "To", req.To().Value(), "<tel:+49;ext=1>")
	back, err := FromRequest(req)
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "ContactStar", back.ContactStar(), true)

	// What sipgo's own parser accepts and the network would not have.
	req = sip.NewRequest(sip.OPTIONS, sip.Uri{Scheme: "sip", Host: "h"})
	if m, err := FromRequest(req); m != nil || err == nil {
		t.Errorf("FromRequest without header fields = %v, %v, want an error", m, err)
	}
}

func TestMessage_Response(t *testing.T) {
	raw := withBody("Hi", append([]string{"SIP/2.0 486 Busy, sorry", "Contact: <sip:o@h?a=b&c=d>", "Content-Type: text/plain"}, basics("INVITE")...)...)
	m := mustParse(t, raw)
	res, err := m.Response()
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "StatusCode", res.StatusCode, 486)
	eq(t, "Reason", res.Reason, "Busy, sorry")
	eq(t, "Contact", res.Contact().Value(), "<sip:o@h?a=b&c=d>")
	eq(t, "Body", string(res.Body()), "Hi")
	back, err := FromResponse(res)
	if err != nil {
		t.Fatal(err)
	}
	eq(t, "back Status", back.Status(), 486)
	eq(t, "back Reason", back.Reason(), "Busy, sorry")
	if _, err := m.Request(); err != ErrNotRequest {
		t.Errorf("Request() = %v, want ErrNotRequest", err)
	}
}
