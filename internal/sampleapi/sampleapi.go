// Package sampleapi is the small shop that the demo calls, on loopback: users,
// orders, stock, labels, an account behind OAuth2, signed refunds, reports with a
// rate limit, and services that are down at first. It stands in for the APIs of a user's
// own, and misbehaves as they do.
package sampleapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/qarion/qarion/apicall"
)

// Base is the address of the sample API in the example flows; the demo puts its
// own in its place when the port is taken.
const Base = "http://127.0.0.1:8089"

// API is a running sample API: users, orders, stock,
// labels, an account behind OAuth2, signed refunds, reports with a rate limit, an
// invoice service and a warehouse that are down at first, and a card that is declined.
type API struct {
	server *http.Server
	URL    string

	mu       sync.Mutex
	calls    int
	orders   map[string]int // by idempotency key
	next     int
	invoices map[string]int // tries by key
	reports  map[string]int // tries by key
	tokens   int            // issued
	down     int            // how often the warehouse has failed
}

// Start serves on a loopback port: the one that the example flows name
// where it is wanted and free, else any.
func Start(wanted bool) (*API, error) {
	var l net.Listener
	err := net.ErrClosed
	if wanted {
		l, err = net.Listen("tcp", strings.TrimPrefix(Base, "http://"))
	}
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("start the sample API: %w", err)
	}
	s := &API{URL: "http://" + l.Addr().String(), orders: map[string]int{}, next: 8817, invoices: map[string]int{}, reports: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", s.user)
	mux.HandleFunc("POST /orders", s.createOrder)
	mux.HandleFunc("GET /orders/{id}", s.order)
	mux.HandleFunc("GET /stock", s.stock)
	mux.HandleFunc("GET /labels", s.labels)
	mux.HandleFunc("GET /labels/{id}", s.label)
	mux.HandleFunc("POST /sheets", s.sheet)
	mux.HandleFunc("POST /invoices", s.invoice)
	mux.HandleFunc("POST /payments", s.payment)
	mux.HandleFunc("POST /oauth/token", s.token)
	mux.HandleFunc("GET /account", s.member(func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, map[string]any{"number": "SE-7", "owner": "Ann Ek"})
	}))
	mux.HandleFunc("GET /account/{number}/balance", s.member(func(w http.ResponseWriter, r *http.Request) {
		reply(w, 200, map[string]any{"number": r.PathValue("number"), "balance": 512.4, "currency": "EUR"})
	}))
	mux.HandleFunc("POST /refunds", s.refund)
	mux.HandleFunc("POST /reports", s.report)
	mux.HandleFunc("PUT /warehouse/reservations", s.reserve)
	mux.HandleFunc("GET /warehouse/reservations", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, 200, []map[string]any{{"sku": "A-17", "qty": 2}})
	})
	mux.HandleFunc("POST /reminders", s.remind)
	mux.HandleFunc("POST /receipts", func(w http.ResponseWriter, _ *http.Request) { reply(w, 202, map[string]any{"queued": true}) })
	s.server = &http.Server{Handler: s.counted(mux), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = s.server.Serve(l) }()
	return s, nil
}

// Close stops the server.
func (s *API) Close() { _ = s.server.Close() }

func (s *API) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.calls++
		s.mu.Unlock()
		time.Sleep(8 * time.Millisecond) // as far away as a neighbouring service
		next.ServeHTTP(w, r)
	})
}

func reply(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}

func (s *API) user(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	if err != nil {
		reply(w, 404, map[string]any{"error": "no_such_user"})
		return
	}
	reply(w, 200, map[string]any{"id": id, "name": "Ann Ek", "email": "ann.ek@shop.example", "roles": []string{"buyer"}})
}

// createOrder makes an order once per idempotency key.
func (s *API) createOrder(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Customer int `json:"customer"`
		Items    []struct {
			SKU string `json:"sku"`
			Qty int    `json:"qty"`
		} `json:"items"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Customer == 0 || len(in.Items) == 0 {
		reply(w, 422, map[string]any{"error": "validation_failed", "fields": map[string]string{"items": "must not be empty"}})
		return
	}
	key := r.Header.Get("Idempotency-Key")
	s.mu.Lock()
	id, known := s.orders[key]
	if !known || key == "" {
		s.next++
		id = s.next
		s.orders[key] = id
	}
	s.mu.Unlock()
	reply(w, 201, map[string]any{"id": id, "customer": in.Customer, "total": 129.9, "status": "open"})
}

// SigningKey is the key that refunds are signed with.
const SigningKey = "sample-signing-key"

// refund takes what is signed with the key: "v1=" and the HMAC, in hexadecimal,
// of time, path and body with dots between them.
func (s *API) refund(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
	if err != nil {
		reply(w, 413, map[string]any{"error": "too_large"})
		return
	}
	h := hmac.New(sha256.New, []byte(SigningKey))
	fmt.Fprintf(h, "%s.%s.%s", r.Header.Get("X-Timestamp"), r.URL.Path, body)
	if want := "v1=" + hex.EncodeToString(h.Sum(nil)); !hmac.Equal([]byte(want), []byte(r.Header.Get("X-Signature"))) {
		reply(w, 401, map[string]any{"error": "bad_signature"})
		return
	}
	if at, err := strconv.ParseInt(r.Header.Get("X-Timestamp"), 10, 64); err != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		reply(w, 401, map[string]any{"error": "too_old"})
		return
	}
	reply(w, 201, map[string]any{"refund": "R-12", "status": "accepted"})
}

func (s *API) order(w http.ResponseWriter, r *http.Request) {
	id, _ := strconv.Atoi(r.PathValue("id"))
	reply(w, 200, map[string]any{"id": id, "total": 129.9, "currency": "EUR", "status": "confirmed"})
}

func (s *API) stock(w http.ResponseWriter, _ *http.Request) {
	reply(w, 200, map[string]any{"status": "success", "data": map[string]any{
		"items": []map[string]any{{"sku": "A-17", "qty": 41}, {"sku": "B-2", "qty": 7}},
	}})
}

func (s *API) labels(w http.ResponseWriter, _ *http.Request) {
	ids := make([]int, 20)
	for i := range ids {
		ids[i] = 501 + i
	}
	reply(w, 200, map[string]any{"ids": ids})
}

func (s *API) label(w http.ResponseWriter, r *http.Request) {
	time.Sleep(60 * time.Millisecond) // a printer is slow
	reply(w, 200, map[string]any{"id": r.PathValue("id"), "text": "SHIP-" + r.PathValue("id")})
}

func (s *API) sheet(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Labels []int `json:"labels"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.Labels) != 20 {
		reply(w, 422, map[string]any{"error": "want 20 labels"})
		return
	}
	reply(w, 201, map[string]any{"sheet": 1, "labels": len(in.Labels)})
}

// invoice is down for the first two tries of each key.
func (s *API) invoice(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	s.mu.Lock()
	s.invoices[key]++
	try := s.invoices[key]
	s.mu.Unlock()
	if try <= 2 {
		reply(w, 503, map[string]any{"error": "maintenance", "message": "the invoice service is starting"})
		return
	}
	reply(w, 201, map[string]any{"invoice": "R-2026-0042", "tries": try})
}

func (s *API) payment(w http.ResponseWriter, _ *http.Request) {
	reply(w, 402, map[string]any{"error": "card_declined", "message": "Insufficient funds", "order_id": 8817})
}

// The client that the token endpoint knows.
const (
	Client = "demo"
	Secret = "demo-secret-of-the-sample-api"
)

// token gives a token to the client (RFC 6749, 4.4).
func (s *API) token(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	if id != Client || secret != Secret || r.FormValue("grant_type") != "client_credentials" {
		reply(w, 401, map[string]any{"error": "invalid_client"})
		return
	}
	s.mu.Lock()
	s.tokens++
	n := s.tokens
	s.mu.Unlock()
	reply(w, 200, map[string]any{"access_token": fmt.Sprintf("sample-token-%d", n), "token_type": "Bearer", "expires_in": 3600})
}

// member lets requests with a good token through. The first token is taken for
// expired: servers restart, and forget.
func (s *API) member(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		want := fmt.Sprintf("Bearer sample-token-%d", max(2, s.tokens))
		s.mu.Unlock()
		if r.Header.Get("Authorization") != want {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			reply(w, 401, map[string]any{"error": "invalid_token"})
			return
		}
		next(w, r)
	}
}

// report is refused once per key, with the time when to come again.
func (s *API) report(w http.ResponseWriter, r *http.Request) {
	key := r.Header.Get("Idempotency-Key")
	s.mu.Lock()
	s.reports[key]++
	try := s.reports[key]
	s.mu.Unlock()
	if try == 1 {
		w.Header().Set("Retry-After", "1")
		reply(w, 429, map[string]any{"error": "rate_limited"})
		return
	}
	reply(w, 201, map[string]any{"report": "2026-10", "rows": 1204})
}

// reserve fails as often as it takes to open a circuit.
func (s *API) reserve(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	s.down++
	n := s.down
	s.mu.Unlock()
	if n <= apicall.DefaultBreakerFailures {
		reply(w, 500, map[string]any{"error": "out_of_order"})
		return
	}
	reply(w, 200, map[string]any{"sku": "A-17", "qty": 2, "state": "reserved"})
}

// remind sends a reminder to each customer of a list, and says when.
func (s *API) remind(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Customers []struct {
			ID int `json:"id"`
		} `json:"customers"`
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		reply(w, 400, map[string]any{"error": "not_json"})
		return
	}
	sent := make([]map[string]any, 0, len(in.Customers))
	for _, c := range in.Customers {
		sent = append(sent, map[string]any{"customer": c.ID, "number": fmt.Sprintf("R-%d", 100+c.ID), "sent_at": time.Now().UTC().Format(time.RFC3339)})
	}
	reply(w, 201, map[string]any{"reminders": sent})
}
