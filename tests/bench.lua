-- Asks the connector about people at random; prints what came of it as JSON.
local people, scope, token = os.getenv("PEOPLE"), os.getenv("SCOPE"), os.getenv("TOKEN")

function init()
    math.randomseed(os.time())
    wrk.headers["Authorization"] = "Bearer " .. token
end

function request()
    return wrk.format("GET", string.format("/v1/people/person-%07d%%40%s", math.random(0, people - 1), scope))
end

function done(summary, latency)
    local errors = summary.errors
    io.write(string.format('{"rate": %f, "p50": %f, "errors": %d}\n', summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
