// Package ui is what the HTTP door shows to people: pages of flows, runs and
// the log, made on the server with package markup, and a little JavaScript that
// keeps them current. Every page is one address with all of its state in it,
// shows and works without JavaScript, and asks the node only for what stands in
// the table of endpoints, as its caller: who may not ask, sees no button.
//
// The door (package web) opens it, says who asks, and refuses strangers before
// a page hears of them.
package ui
