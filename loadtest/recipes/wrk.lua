-- wrk -t1 -c64 -d30s --latency -s recipes/wrk.lua http://127.0.0.1:8080/introspect
--
-- From the environment: TOKENS, a file with {"token": "...", "active": ...} a line; CLIENT_ID; CLIENT_SECRET_FILE.
-- A closed loop: its latencies are those of callers who wait for each other.

local unreserved = "[^%w%-%._]"

local function encode(text)
  return (text:gsub(unreserved, function(letter) return string.format("%%%02X", letter:byte()) end))
end

local alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

local function base64(text)
  local out = {}
  for place = 1, #text, 3 do
    local a, b, c = text:byte(place, place + 2)
    local bits = a * 65536 + (b or 0) * 256 + (c or 0)
    for shift = 3, 0, -1 do
      local digit = math.floor(bits / 64 ^ shift) % 64 + 1
      out[#out + 1] = alphabet:sub(digit, digit)
    end
    if not c then out[#out] = "=" end
    if not b then out[#out - 1] = "=" end
  end
  return table.concat(out)
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read("*a")
  file:close()
  return (text:gsub("[\r\n]+$", ""))
end

local requests, truths = {}, {}
local sent = 0
right, wrong = 0, 0

function init()
  local pair = encode(os.getenv("CLIENT_ID")) .. ":" .. encode(read(os.getenv("CLIENT_SECRET_FILE")))
  local headers = {
    ["Authorization"] = "Basic " .. base64(pair),
    ["Content-Type"] = "application/x-www-form-urlencoded",
  }
  for line in io.lines(os.getenv("TOKENS")) do
    -- Tokens hold no quotes, so that no parser is needed.
    local token = line:match('"token"%s*:%s*"([^"\\]*)"')
    requests[#requests + 1] = wrk.format("POST", nil, headers, "token=" .. encode(token))
    truths[#truths + 1] = line:match('"active"%s*:%s*(%a+)')
  end
end

function request()
  sent = sent % #requests + 1
  return requests[sent]
end

-- An answer belongs to the last request as long as each thread has one connection (-c equal to -t). With more, take a file
-- in which all tokens have the same truth.
function response(status, headers, body)
  if status == 200 and body:match('"active"%s*:%s*(%a+)') == truths[sent] then
    right = right + 1
  else
    wrong = wrong + 1
  end
end

local threads = {}

function setup(thread)
  threads[#threads + 1] = thread
end

function done()
  local all_right, all_wrong = 0, 0
  for _, thread in ipairs(threads) do
    all_right = all_right + thread:get("right")
    all_wrong = all_wrong + thread:get("wrong")
  end
  io.write(string.format("answers: %d right, %d wrong or failed\n", all_right, all_wrong))
end
