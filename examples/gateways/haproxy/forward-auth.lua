-- Asks introspectd whether a request may pass: `http-request lua.forward_auth`.
--
-- Reads  txn.wanted_scope    the scope that the token must have
-- Sets   txn.auth_status     "200" when the request may pass; unset when introspectd cannot be reached
--        txn.auth_challenge  what to answer as WWW-Authenticate
-- and the headers that begin with X-Auth-, for the API.

core.register_action("forward_auth", { "http-req" }, function(txn)
    local headers = { ["x-forward-auth-scope"] = { txn:get_var("txn.wanted_scope") } }
    -- All lines: introspectd refuses what could be read in two ways.
    local authorization = txn.http:req_get_headers()["authorization"]
    if authorization then
        headers["authorization"] = {}
        for index = 0, #authorization do
            table.insert(headers["authorization"], authorization[index])
        end
    end

    local answer = core.httpclient():get({
        url = "http://introspectd/forward-auth",
        dst = "abns@introspectd-forward-auth",
        headers = headers,
    })
    if not answer or not answer.headers then
        return
    end

    if answer.status == 200 then
        for name, lines in pairs(answer.headers) do
            if name:sub(1, 7) == "x-auth-" then
                txn.http:req_set_header(name, lines[0])
            end
        end
    end
    local challenge = answer.headers["www-authenticate"]
    txn:set_var("txn.auth_challenge", challenge and challenge[0] or "Bearer")
    txn:set_var("txn.auth_status", tostring(answer.status))
end)
