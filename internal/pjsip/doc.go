// Package pjsip turns a pjsip.conf, the configuration of Asterisk's SIP stack,
// into a configuration and a users file of this server.
//
// It works in three steps, all of them pure: Parse reads the text with its
// templates and includes, MakePlan looks at the objects that the text describes
// and at what they refer to, and the Plan prints the files. Whatever has no
// counterpart here, or means something slightly else, becomes a Note with its
// place.
//
// Objects understood are transport, auth, aor, endpoint, registration,
// domain_alias, acl, identify and a part of global; others are noted. Dialplan,
// media and voicemail are not looked at: this server has none.
//
// cmd/reveille is the only caller.
package pjsip
