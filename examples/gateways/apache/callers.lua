-- Takes away what a caller may not say of itself, however it is spelt: many frameworks take X_Auth_Subject and
-- X.Auth.Subject for X-Auth-Subject. Called before Apache asks about the token and sets its own.

function take_away(request)
    for name in pairs(request:headers_in_table()) do
        local plain = name:lower():gsub("[^a-z0-9]", "-")
        if plain:find("^x%-auth%-") or plain:find("^x%-forward%-auth%-") then
            request.headers_in[name] = nil
        end
    end
    return apache2.DECLINED
end
