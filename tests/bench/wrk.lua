-- What wrk asks for: scores of payments, or windows of cards, each of another card of the world.
local kind, cards, number = "score", 1000, 0

function init(arguments)
  kind, cards = arguments[1], tonumber(arguments[2])
  math.randomseed(os.time())
end

function request()
  number = number + 1
  local card = string.format("card_%06d", math.random(0, cards - 1))
  if kind == "features" then
    return wrk.format("GET", "/v1/features/card/" .. card)
  end
  local body = string.format(
    '{"transaction_id":"wrk-%d-%d","card_id":"%s","customer_id":"cust_000001","merchant_id":"mer_busy_1","mcc":5411,'
      .. '"channel":"ECOM","amount_minor":%d,"currency":"EUR","country":"DE","event_time_ms":%d}',
    os.time(), number, card, math.random(100, 50000), os.time() * 1000)
  return wrk.format("POST", "/v1/score", { ["content-type"] = "application/json" }, body)
end
